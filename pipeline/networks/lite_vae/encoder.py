"""The encoder of LiteVAE: U-Nets over the bands of a Haar pyramid."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.networks.lite_vae.unet import UNet
from pipeline.nn.remat import run
from pipeline.nn.resample import average_pool
from pipeline.nn.wavelet import haar_pyramid

Map = Float[Array, "b _ _ _"]


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of 1 / spatial_factor of their height and width.

    Args:
      levels: levels of the Haar pyramid; each halves height and width.
      widths, depth: channels of the levels of the U-Net that reads a level of the pyramid, and its
        residual blocks per level.
      joint_widths, joint_depth: of the U-Net that reads all of them.
      groups: number of groups of each group norm.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        levels: int = 3,
        widths: Sequence[int] = (32, 64, 96),
        depth: int = 4,
        joint_widths: Sequence[int] = (32, 64, 96),
        joint_depth: int = 4,
        groups: int = 8,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if levels < 1 or not widths or not joint_widths:
            raise ConfigError(
                f"lite_vae.Encoder: levels={levels} must be 1 or more, and widths={tuple(widths)} "
                f"and joint_widths={tuple(joint_widths)} must have 1 width or more"
            )
        self.spatial_factor, self.out_channels = 2**levels, out_channels
        self.levels, bands = levels, 4 * in_channels
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.readers = nnx.List(
            [UNet(bands, bands, widths, depth, groups, **same) for _ in range(levels)]
        )
        self.joint = UNet(levels * bands, out_channels, joint_widths, joint_depth, groups, **same)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        features = []
        for number, bands in enumerate(haar_pyramid(x, self.levels)):
            y = run(self.readers[number], bands, remat=remat)
            features.append(average_pool(y, 2 ** (self.levels - 1 - number)))
        return run(self.joint, jnp.concatenate(features, axis=-1), remat=remat), {}
