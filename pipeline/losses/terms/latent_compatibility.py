"""A constraint that keeps a video codec's latents compatible with an image codec.

A frozen image decoder decodes each frame of a clip's latents (CV-VAE, arXiv 2405.20279, section
3.2). Its output should be frame 0 of the clip for the first frame of latents. For each other frame
of latents it should be one of the frames that these stand for, chosen at random in each step, so
that the latents favour none of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core import pixels
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Batch, Outputs, pixels_of
from pipeline.losses.term import Term, Weight, num_frames, num_values

PATHS = ("codec",)  # Arguments that say where files are on this machine.
# Latents [n h w d] -> images [n h*8 w*8 c] in [-1, 1].
DecodeImages = Callable[[Float[Array, "n h w d"]], Float[Array, "n h2 w2 c"]]


def latent_compatibility(
    *,
    codec: str = "",
    weight: Weight = 1.0,
    load_codec: Callable[[str], tuple[Any, Any]],
    where: str = "objective.latent_compatibility",
) -> Term:
    """Return the constraint; the frames are drawn from the step's number.

    codec: folder of the image codec that the latents are to suit.
    """
    if not codec:
        raise ConfigError(
            f"{where}.codec is missing: give the folder of the image codec to be compatible with"
        )
    modeldef, arrays = load_codec(codec)

    def value(outputs, batch, step, frozen):
        def decode(z: Float[Array, "n h w d"]) -> Float[Array, "n h2 w2 c"]:
            return modeldef.merge(frozen, frozen).decode((z,)).mean()

        key = jax.random.fold_in(jax.random.key(0), step)
        return distance(outputs, batch, decode=decode, key=key)

    def log(value, batch, step):
        return {"latent_compatibility": value / (num_values(batch) // num_frames(batch))}

    return Term(value, weight, log_name="latent_compatibility", frozen=arrays, log=log)


def target_frames(
    key: PRNGKeyArray, num_latents: int, temporal_factor: int = 4
) -> Int[Array, " t"]:
    """Return the frame of a clip for each frame of latents: 0, then one of each group."""
    groups = jnp.arange(num_latents - 1) * temporal_factor
    chosen = jax.random.randint(key, (num_latents - 1,), 1, temporal_factor + 1)
    return jnp.concatenate([jnp.zeros((1,), chosen.dtype), groups + chosen])


def distance(
    outputs: Outputs,
    batch: Batch,
    *,
    decode: DecodeImages,
    key: PRNGKeyArray,
    temporal_factor: int = 4,
) -> Float[Array, " b"]:
    """Return the L1 error of decoded frames of z, summed over a frame and averaged over frames.

    An image thus weighs as much as a clip of any length. The frames chosen are the same for all
    examples of a batch. The authors divide likewise; we deviate in that their weight is a learned
    variance, which starts at 1.

    Args:
      outputs: its only latent is z [b 1+t h w d].
      batch: clips [b 1+4t h*8 w*8 c], or images [b h*8 w*8 c], which are clips of one frame.
      decode: the frozen decoder of images.
      key: draws the target frames.
      temporal_factor: frames of a clip to one frame of latents.

    Raises:
      DataError: the clips are not as long as the latents stand for.
    """
    (latent,) = outputs.latents
    clip = pixels.to_float(pixels_of(batch))
    clip = clip if clip.ndim == 5 else clip[:, None]
    b, frames = latent.z.shape[:2]
    if clip.shape[1] != 1 + temporal_factor * (frames - 1):
        raise DataError(
            f"{frames} frames of latents do not belong to a clip of {clip.shape[1]} frames, which "
            f"must be 1 + {temporal_factor}k"
        )
    target = jnp.take(clip, target_frames(key, frames, temporal_factor), axis=1)
    images = decode(latent.z.reshape(b * frames, *latent.z.shape[2:])).reshape(target.shape)
    return jnp.abs(images - target).reshape(b, -1).sum(axis=1) / frames
