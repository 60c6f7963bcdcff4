"""The encoder and decoder of ViT-VQGAN (arXiv 2110.04627, section 3.1): transformers over patches.

Every patch of an image is a token, and positions are fixed sines and cosines, so that any multiple
of the patch's size can be coded; each token attends to all others. The feed-forward layers have
tanh, as those of the only public code (enhancing-transformers).
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn import init
from pipeline.nn.attention import attend_to_all
from pipeline.nn.norm import LayerNorm
from pipeline.nn.remat import run
from pipeline.nn.tokens.patches import from_patches, to_patches
from pipeline.nn.tokens.sincos import sincos_grid

Map = Float[Array, "b _ _ _"]
Tokens = Float[Array, "b n c"]
_EPS = 1e-5  # of layer norms, torch's default


class Block(nnx.Module):
    """x + attention(norm(x)), then x + linear(tanh(linear(norm(x))))."""

    def __init__(self, width: int, heads: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any):
        self.norm1, self.norm2 = LayerNorm(width, eps=_EPS), LayerNorm(width, eps=_EPS)
        self.qkv = _linear(width, 3 * width, rngs, dtype, use_bias=False)
        self.out = _linear(width, width, rngs, dtype)
        self.hidden = _linear(width, hidden, rngs, dtype)
        self.back = _linear(hidden, width, rngs, dtype)
        self.heads = heads

    def __call__(self, x: Tokens) -> Tokens:
        x = x + self.out(attend_to_all(self.qkv(self.norm1(x)), self.heads))
        return x + self.back(jnp.tanh(self.hidden(self.norm2(x))))


class Transformer(nnx.Module):
    """Positions, `depth` blocks, and a norm, of maps of tokens [b h w c]."""

    def __init__(
        self, width: int, depth: int, heads: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        if width % 4 or width % heads:
            raise ConfigError(f"vit: 4 and heads={heads} must divide width={width}")
        self.blocks = nnx.List(
            [Block(width, heads, hidden, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )
        self.norm = LayerNorm(width, eps=_EPS)

    def __call__(self, x: Map, remat: bool) -> Map:
        b, h, w, c = x.shape
        tokens = (x + sincos_grid(h, w, c).astype(x.dtype)).reshape(b, h * w, c)
        for block in self.blocks:
            tokens = run(block, tokens, remat=remat)
        return self.norm(tokens).reshape(b, h, w, c)


class Encoder(nnx.Module):
    """Images [b h w c] in [-1, 1] -> features of each patch.

    Args:
      width, depth, heads: of the transformer.
      hidden: width inside its feed-forward layers.
      patch: side of a patch in pixels.
    """

    is_video, temporal_factor, causal = False, 1, False

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 512,
        depth: int = 8,
        heads: int = 8,
        hidden: int = 2048,
        patch: int = 8,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.out_channels = patch, out_channels
        self.embed = _linear(in_channels * patch**2, width, rngs, dtype)
        self.transformer = Transformer(width, depth, heads, hidden, rngs=rngs, dtype=dtype)
        self.project = _linear(width, out_channels, rngs, dtype)

    def __call__(self, x: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.embed(to_patches(x, self.spatial_factor))
        return self.project(self.transformer(x, remat)), {}


class Decoder(nnx.Module):
    """Latents [b h w d] of patches -> images around [-1, 1].

    The arguments are the encoder's. All pixels of a colour have one bias.
    """

    is_video, temporal_factor, causal = False, 1, False
    last_layer = "to_pixels"

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 512,
        depth: int = 8,
        heads: int = 8,
        hidden: int = 2048,
        patch: int = 8,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        self.spatial_factor, self.out_channels = patch, out_channels
        self.project = _linear(in_channels, width, rngs, dtype)
        self.transformer = Transformer(width, depth, heads, hidden, rngs=rngs, dtype=dtype)
        shape = (width, patch**2 * out_channels)
        bound = (6 / sum(shape)) ** 0.5
        self.to_pixels = nnx.Param(init.uniform(rngs.params(), shape, bound))
        self.bias = nnx.Param(jnp.zeros((out_channels,), jnp.float32))
        self.dtype = dtype

    def __call__(self, z: Map, *, remat: bool = False) -> tuple[Map, dict[str, Any]]:
        x = self.transformer(self.project(z), remat)
        x = (x.astype(self.dtype) @ self.to_pixels[...].astype(self.dtype)).astype(jnp.float32)
        return from_patches(x, self.spatial_factor) + self.bias[...], {}


def _linear(
    width: int, out: int, rngs: nnx.Rngs, dtype: Any, *, use_bias: bool = True
) -> nnx.Linear:
    start = nnx.initializers.xavier_uniform()
    return nnx.Linear(width, out, use_bias=use_bias, kernel_init=start, dtype=dtype, rngs=rngs)
