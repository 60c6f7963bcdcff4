"""The constraint that keeps a video codec's latents those of an image codec (CV-VAE, arXiv 2405.20279, section 3.2).

A frozen decoder of images decodes every frame of a clip's latents by itself. It should give frame 0 of the clip from
the first, and from each other one a frame of those that it stands for, chosen at random in each step: the latents then
must not favour one of them.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.core import pixels
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef
from pipeline.core.types import Batch, Outputs, pixels_of

# Latents [n h w d] -> images [n h*8 w*8 c] in [-1, 1].
DecodeImages = Callable[[Float[Array, "n h w d"]], Float[Array, "n h2 w2 c"]]


def target_frames(
    key: PRNGKeyArray, num_latents: int, temporal_factor: int = 4
) -> Int[Array, " t"]:
    """Which frame of a clip each frame of its latents is to show: 0, then a random one of each group."""
    groups = jnp.arange(num_latents - 1) * temporal_factor
    chosen = jax.random.randint(key, (num_latents - 1,), 1, temporal_factor + 1)
    return jnp.concatenate([jnp.zeros((1,), chosen.dtype), groups + chosen])


def latent_compatibility(
    outputs: Outputs,
    batch: Batch,
    *,
    decode: DecodeImages,
    key: PRNGKeyArray,
    temporal_factor: int = 4,
) -> Float[Array, " b"]:
    """L1 between what `decode` makes of each frame of z and its target, summed over a frame, the mean of z's frames.

    So an image weighs as much as a clip of any length. The frames chosen are the same for all examples of a batch. The
    authors divide likewise, and weigh it with a learned variance of its own, which is 1 at its start.

    Args:
      outputs: whose one latent is z [b 1+t h w d].
      batch: its clips [b 1+4t h*8 w*8 c], or images [b h*8 w*8 c] as clips of one frame.

    Raises:
      DataError: clips of another length than the latents stand for.
    """
    (latent,) = outputs.latents
    clip = pixels.to_float(pixels_of(batch))
    clip = clip if clip.ndim == 5 else clip[:, None]
    b, frames = latent.z.shape[:2]
    if clip.shape[1] != 1 + temporal_factor * (frames - 1):
        raise DataError(
            f"{frames} frames of latents are not of a clip of {clip.shape[1]} frames, 1 + {temporal_factor}k"
        )
    target = jnp.take(clip, target_frames(key, frames, temporal_factor), axis=1)
    images = decode(latent.z.reshape(b * frames, *latent.z.shape[2:])).reshape(target.shape)
    return jnp.abs(images - target).reshape(b, -1).sum(axis=1) / frames


# Before the names of the frozen codec's arrays, among those of the objective.
PREFIX = "compatibility."


@dataclasses.dataclass(frozen=True)
class Compatibility:
    """The constraint with `weight` as a term of a codec's objective, its image codec taken apart.

    The codec's arrays are in `frozen`, by their names after PREFIX; the frames are drawn by the step's number.
    """

    images: ModelDef
    weight: float | int
    temporal_factor: int = 4

    def __call__(
        self,
        frozen: Mapping[str, Array],
        outputs: Outputs,
        batch: Batch,
        step: Int[Array, ""] | int,
    ) -> Float[Array, " b"]:
        """`latent_compatibility` of each example, unweighted."""
        names = (*self.images.param_names, *self.images.other_names)
        arrays = {name: frozen[PREFIX + name] for name in names}

        def decode(z: Float[Array, "n h w d"]) -> Float[Array, "n h2 w2 c"]:
            return self.images.merge(arrays, arrays).decode((z,)).mean()

        key = jax.random.fold_in(jax.random.key(0), step)
        factor = self.temporal_factor
        return latent_compatibility(outputs, batch, decode=decode, key=key, temporal_factor=factor)
