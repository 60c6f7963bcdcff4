"""Mean squared error of reconstructions."""

from pipeline.metrics.catalogue import Metric

METRICS = (
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
