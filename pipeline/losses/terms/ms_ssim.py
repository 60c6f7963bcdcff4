"""1 - MS-SSIM of each frame (Wang et al. 2003)."""

from pipeline.core.errors import ConfigError
from pipeline.distances import ms_ssim as distance
from pipeline.losses.term import Term, Weight, recon_and_target


def ms_ssim(*, weight: Weight = 1.0) -> Term:
    """Return 1 - MS-SSIM, which counts once for each value of a frame.

    MS-SSIM has as many of its five scales as the frames have room for, all of them above 160
    pixels each way.
    """
    return Term(_value, weight, log_name="ms_ssim_loss", likelihood=True, per_value=True)


def _value(outputs, batch, step, frozen):
    recon, x = recon_and_target(outputs, batch)
    height, width = x.shape[-3:-1]
    scales = distance.num_scales(height, width)
    if scales < 2:
        raise ConfigError(
            f"objective.ms_ssim needs frames of 21 pixels each way or more, for two scales, and "
            f"these are {height}x{width}: set its weight to 0, or data.image_size higher"
        )
    a, b = (image.reshape(-1, *image.shape[-3:]) for image in (recon, x))
    similarity = distance.ms_ssim(a, b, scales).reshape(x.shape[0], -1)
    return (1 - similarity).sum(axis=1)
