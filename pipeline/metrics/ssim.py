"""Structural similarity of reconstructions, of one scale and of several (Wang et al. 2003, 2004).

MS-SSIM has five scales. Frames of 160 pixels or less have room for fewer, and the figure of fewer
scales compares only with itself, so it has a name of its own: "ms_ssim_3_scales". A single scale
is SSIM.
"""

from pipeline.metrics.catalogue import Metric

_FULL = 5


def _smallest_side(scales: int) -> int:
    """Return the smallest side whose coarsest scale has room for a window of 11 pixels."""
    return 10 * 2 ** (scales - 1) + 1


def _of_scales(scales: int) -> Metric:
    full = scales == _FULL
    return Metric(
        name="ms_ssim" if full else f"ms_ssim_{scales}_scales",
        label="MS-SSIM" if full else f"{scales}-scale MS-SSIM",
        function="pipeline.distances.ms_ssim.ms_ssim",
        arguments={"scales": scales},
        sides=(_smallest_side(scales), None if full else _smallest_side(scales + 1) - 1),
        unit="",
        larger_is_better=True,
        format=".4f",
        protocol="five scales and weights of Wang et al. 2003, window as SSIM's"
        if full
        else f"frames too small for MS-SSIM: its {scales} finest scales, weights over their sum",
        modality="image",
    )


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
    *(_of_scales(scales) for scales in range(_FULL, 1, -1)),
)
