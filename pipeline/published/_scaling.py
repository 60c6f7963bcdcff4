"""Statistics of latents in settings: one scale for all channels, or lists for each of them."""

from collections.abc import Mapping
from typing import Any

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import NUMBER, POSITIVE, check, list_of, optional


def read(settings: Mapping[str, Any], channels: int, *, default: float) -> dict[str, Any]:
    """Return the statistics in `settings`; {} if scaling_factor is null.

    Args:
      default: the scaling factor where there is none: the class's.
    """
    settings = {"scaling_factor": default, **settings}
    check(settings, {"scaling_factor": optional(NUMBER), "shift_factor": optional(NUMBER)})
    scaling, shift = settings["scaling_factor"], settings.get("shift_factor") or 0.0
    if scaling is None:
        return {}
    if scaling == 0:
        raise CheckpointError("scaling_factor is 0, and latents are divided by it")
    if settings.get("latents_mean") and settings.get("latents_std"):
        check(settings, {"latents_mean": list_of(NUMBER, channels)})
        check(settings, {"latents_std": list_of(POSITIVE, channels)})
        deviations = [std / scaling for std in settings["latents_std"]]
        return latent_stats.summary(settings["latents_mean"], deviations)
    return latent_stats.summary([shift] * channels, [1 / scaling] * channels)


def write(latents: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that hold statistics: a scale where all channels have one, else lists."""
    if not latents:
        return {"scaling_factor": None}
    means, deviations = set(latents["mean"]), set(latents["std"])
    if len(means) == len(deviations) == 1:
        (shift,), (std,) = means, deviations
        return {"scaling_factor": 1 / std} | ({"shift_factor": shift} if shift else {})
    lists = {"latents_mean": list(latents["mean"]), "latents_std": list(latents["std"])}
    return {"scaling_factor": 1.0} | lists
