"""By what reconstructions of frames and clips are judged, under which names, and what the figures mean.

A figure that depends on the size of the frames says so in its name: MS-SSIM has five scales, and where frames are too
small for them, "ms_ssim_3_scales" is what three of them give. It compares with itself alone.
"""

import functools
from collections.abc import Callable, Iterable, Mapping

from jaxtyping import Array, Float

from pipeline.distances import ms_ssim
from pipeline.distances.pixel_error import psnr
from pipeline.distances.ssim import ssim

Measure = Callable[
    [Array, Array], Float[Array, " b"]
]  # of images [b h w c] and their reconstructions

_MEANINGS = {
    "psnr": "PSNR: -10 log10 of the mean squared error of values in [0, 1], at most 100 dB",
    "ssim": "SSIM: Gaussian window 11, sigma 1.5, valid, mean over channels",
    "ms_ssim": "MS-SSIM: five scales and weights of Wang et al. 2003, window as SSIM's",
    "flicker": "flicker: mean |(x[t+1] - x[t]) - (y[t+1] - y[t])| over a clip's pairs of frames, values in [0, 1]",
}


def of_frames(height: int, width: int) -> dict[str, Measure]:
    """psnr, ssim, and ms_ssim with as many scales as frames of this size have room for; with one, it would be SSIM."""
    measures: dict[str, Measure] = dict(psnr=psnr, ssim=ssim)
    scales = ms_ssim.num_scales(height, width)
    if scales > 1:
        measures[ms_ssim.name_of(scales)] = functools.partial(ms_ssim.ms_ssim, scales=scales)
    return measures


def protocol(names: Iterable[str], further: Mapping[str, str] | None = None) -> str:
    """What the figures of these names are; `further` explains names of the caller's own."""
    meanings = _MEANINGS | dict(further or {})
    said = []
    for name in names:
        if name.startswith("ms_ssim_"):
            count = name.removeprefix("ms_ssim_").removesuffix("_scales")
            said.append(
                f"{name}: frames are too small for MS-SSIM; its {count} finest scales, weights over their sum"
            )
        elif name in meanings:
            said.append(meanings[name])
    return "; ".join(said)


def shown(name: str, value: float) -> str:
    """A figure for people: "31.20 dB", "SSIM 0.9131", "flicker 0.00412"."""
    if name == "psnr":
        return f"{value:.2f} dB"
    label = name.replace("_ssim", "-ssim").replace("_", " ")
    label = (
        label.upper()
        if name in ("ssim", "ms_ssim", "lpips")
        else label.replace("ms-ssim", "MS-SSIM")
    )
    return f"{label} {value:.5f}" if name == "flicker" else f"{label} {value:.4f}"
