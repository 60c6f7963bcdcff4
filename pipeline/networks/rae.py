"""The networks of representation autoencoders (RAE, arXiv 2510.11690).

The encoder is a frozen encoder of images (pipeline.frozen.encoders), whose features of patches are
the latents. It is part of the model, so that a codec is complete, and is never trained: a run takes
its weights from the file of config.init.encoder. The decoder is MAE's (2111.06377), with fixed
positions and a class token.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.construct import check_arguments, load
from pipeline.core.errors import ConfigError
from pipeline.frozen.preprocessing import IMAGENET, Preprocessing
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.bicubic import bicubic
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP
from pipeline.nn.tokens.patches import from_patches
from pipeline.nn.tokens.sincos import sincos_grid

Map = Float[Array, "b _ _ _"]
ENCODERS = "pipeline.frozen.encoders"
_EPS = 1e-12
_EXTENT = 16  # of positions: the side of the grid that the authors train with


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of each patch, without gradients.

    Args:
      family: a file of pipeline.frozen.encoders.
      network: arguments of its `create`.
      factor: pixels along each side of an image for each latent. Where the encoder's patches are of
        another size, images are resized to as many patches, bicubically.
      mean, std: of each channel, for pixels in [0, 1].
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        family: str = "dinov2",
        network: Mapping[str, Any],
        factor: int = 16,
        mean: Sequence[float] = IMAGENET[0],
        std: Sequence[float] = IMAGENET[1],
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        create = load(ENCODERS, family, where="model.encoder.family").create
        where = "model.encoder.network"
        check_arguments(create, network, where=where, given=("key", "dtype"))
        self.network = create(**network, key=rngs.params(), dtype=dtype)
        width = self.network.embed.kernel.shape[1]
        if in_channels != 3 or out_channels != width:
            raise ConfigError(
                f"model.latent_channels={out_channels} must be {width}, the width of the frozen "
                f"encoder, and images must have 3 channels, not {in_channels}"
            )
        self.spatial_factor, self.out_channels = factor, out_channels
        self.preprocessing = Preprocessing(mean=tuple(mean), std=tuple(std))

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        del remat  # nothing is kept for a backward pass
        factor, patch = self.spatial_factor, self.network.patch
        if factor != patch:
            x = bicubic(x, *(side // factor * patch for side in x.shape[1:3]))
        features = self.network(self.preprocessing(x)).patches
        return jax.lax.stop_gradient(features), {}


class Decoder(nnx.Module):
    """Latents [b h w d] -> images of `patch` times their height and width, around [-1, 1].

    Args:
      width, depth, heads: of the transformer.
      hidden: width inside its feed-forward layers.
      patch: pixels along each side of an image for each latent.
      mean, std: of each channel of the pixels in [0, 1] that it gives in units of std.
    """

    is_video, temporal_factor, causal = False, 1, False
    last_layer = "pixels.kernel"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 1_152,
        depth: int = 28,
        heads: int = 16,
        hidden: int = 4_096,
        patch: int = 16,
        mean: Sequence[float] = IMAGENET[0],
        std: Sequence[float] = IMAGENET[1],
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        make = layer_factory(rngs.params(), dtype)
        if width % 4:
            raise ConfigError(f"model.decoder.width={width} must be a multiple of 4")

        def block() -> Block:
            return Block(
                Attention(width, heads, make=make),
                MLP(width, hidden, make=make),
                norms=(LayerNorm(width, eps=_EPS), LayerNorm(width, eps=_EPS)),
            )

        self.embed = make(Linear, in_channels, width)
        self.class_token = nnx.Param(jnp.zeros((width,), jnp.float32))
        self.blocks = nnx.List([block() for _ in range(depth)])
        self.norm = LayerNorm(width, eps=_EPS)
        self.pixels = make(Linear, width, patch**2 * out_channels)
        self.spatial_factor, self.out_channels = patch, out_channels
        self.mean, self.std = tuple(mean), tuple(std)

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        b, h, w, _ = z.shape
        x = self.embed(z)
        positions = sincos_grid(h, w, x.shape[-1], extent=_EXTENT).astype(x.dtype)
        first = jnp.broadcast_to(self.class_token[...].astype(x.dtype), (b, 1, x.shape[-1]))
        tokens = jnp.concatenate([first, (x + positions).reshape(b, h * w, -1)], axis=1)
        run = nnx.remat(Block.__call__) if remat else Block.__call__
        for block in self.blocks:
            tokens = run(block, tokens)
        x = self.pixels(self.norm(tokens))[:, 1:].astype(jnp.float32)
        x = from_patches(x.reshape(b, h, w, -1), self.spatial_factor)
        return 2 * (x * jnp.asarray(self.std) + jnp.asarray(self.mean)) - 1, {}
