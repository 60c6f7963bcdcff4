"""Structural similarity of reconstructions (Wang et al. 2004)."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="ssim",
        label="SSIM",
        function="pipeline.distances.ssim.ssim",
        unit="",
        larger_is_better=True,
        format=".4f",
        protocol="Gaussian window 11, sigma 1.5, valid, mean over channels",
        modality="image",
        in_summary=True,
    ),
)
