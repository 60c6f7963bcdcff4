"""The mean and deviation by which latents are normalized, from the "latents" of a config.json.

They are of each channel, or, as of Cosmos (arXiv 2501.03575), of each channel in each of the first
latent frames of a clip.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pipeline.core.errors import DataError


def frames_of(latents: Mapping[str, Any]) -> int:
    """Return the number of latent frames with statistics of their own; 0 if all share theirs."""
    mean = latents.get("mean")
    return len(mean) if mean and isinstance(mean[0], Sequence) else 0


def mean_and_deviation(
    latents: Any, shape: Sequence[int], first_frame: int
) -> tuple[Float[np.ndarray, "... d"], Float[np.ndarray, "... d"]]:
    """Return the mean and the deviation of latents of this shape, [... t h w d] of a video codec.

    Frames beyond the last one with statistics take those of the last.

    Args:
      latents: of config.json.
      first_frame: index in its clip of the first of these latent frames.

    Raises:
      DataError: there are no statistics, or no axis of time for those of each frame.
    """
    if not isinstance(latents, Mapping) or not {"mean", "std"} <= latents.keys():
        raise DataError(
            "this codec has no statistics of its latents: strata export --stats measures them"
        )
    mean, std = (np.asarray(latents[key], np.float32) for key in ("mean", "std"))
    if mean.ndim == 1:
        return mean, std
    if len(shape) < 4:
        raise DataError(
            f"latents are {list(shape)}, and this codec has statistics of each latent frame: "
            "it takes [... frames height width channels]"
        )
    frames = np.minimum(first_frame + np.arange(shape[-4]), len(mean) - 1)
    return mean[frames, None, None], std[frames, None, None]
