"""Peak signal-to-noise ratio of reconstructions."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="psnr",
        label="PSNR",
        function="pipeline.distances.pixel_error.psnr",
        unit="dB",
        larger_is_better=True,
        format=".2f",
        protocol="-10 log10 of the mean squared error of values in [0, 1], at most 100 dB",
        modality="image",
        in_summary=True,
    ),
)
