"""A codec without a network, whose latents are means of blocks of pixels."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline.core import pixels
from pipeline.core.types import Latent
from pipeline.distributions.continuous import Reconstruction


class Blocks(nnx.Module):
    """Latents are means of 2x2 blocks, and with `skewed` the left half is negated."""

    codec_kind, is_video, num_layers, spatial_factor = "any_size", False, 1, 2
    latent_shapes = ((4, 4, 3),)

    def __init__(self, skewed: bool = False):
        self.scale = nnx.Param(jnp.ones(()))
        self.skewed = skewed

    def encode(self, image, *, key=None):
        x = pixels.to_float(image) * self.scale[...]
        b, h, w, c = x.shape
        z = x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
        if self.skewed:
            z = z * jnp.where(jnp.arange(w // 2) < w // 4, -1, 1)[:, None]
        return (Latent(z, jnp.full(z.shape, np.log(2)), mean=z),)

    def decode(self, z):
        return Reconstruction(jnp.repeat(jnp.repeat(z[0], 2, axis=1), 2, axis=2))
