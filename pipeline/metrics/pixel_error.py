"""Mean squared error of reconstructions, and the same as a signal-to-noise ratio."""

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
    Metric(
        name="mse",
        label="mean squared error",
        function="pipeline.distances.pixel_error.mse",
        unit="",
        larger_is_better=False,
        format=".6f",
        protocol="mean squared error of values in [0, 1]",
        modality="image",
        restates="psnr",
    ),
)
