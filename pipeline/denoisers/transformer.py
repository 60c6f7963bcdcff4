"""The diffusion transformer: tokens of patches, modulated by the time (DiT, arXiv 2212.09748)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import zeros_linear
from pipeline.core.errors import ConfigError
from pipeline.denoisers.dropout import dropout as drop
from pipeline.denoisers.time_embedding import TimeEmbedding, waves
from pipeline.nn.attention import attend_to_all

_FREQUENCIES, _EPS = 256, 1e-6

Tokens = Float[Array, "b n c"]
Embedding = Float[Array, "b e"]


class Block(nnx.Module):
    """Attention and an MLP, whose norms and outputs the time scales: "adaLN-zero".

    Both outputs start multiplied by 0, so that a new block is the identity.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, rngs: nnx.Rngs, dtype: Any):
        same: Any = dict(dtype=dtype, rngs=rngs)
        self.modulation = zeros_linear(width, 6 * width, dtype=dtype)
        self.qkv = nnx.Linear(width, 3 * width, **same)
        self.out = nnx.Linear(width, width, **same)
        self.hidden = nnx.Linear(width, hidden, **same)
        self.back = nnx.Linear(hidden, width, **same)
        self.heads = heads

    def __call__(
        self, x: Tokens, c: Embedding, share: float, key: PRNGKeyArray | None = None
    ) -> Tokens:
        parts = jnp.split(self.modulation(nnx.silu(c))[:, None], 6, axis=-1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        h = _normed(x) * (1 + scale1) + shift1
        x = x + gate1 * self.out(attend_to_all(self.qkv(h), self.heads))
        h = _normed(x) * (1 + scale2) + shift2
        h = drop(nnx.gelu(self.hidden(h)), share, key)
        return x + gate2 * self.back(h)


class Transformer(nnx.Module):
    """x_t [b h w c] or [b t h w c] and t [b] -> a prediction.

    Positions are fixed sines and cosines of the frame, the row and the column, so that any multiple
    of the patch can be predicted. Attention is over all tokens of an example.

    Args:
      width, depth, heads: of the transformer; the paper's S is 384, 12, 6.
      hidden: width inside the MLPs; 0 for four times the width.
      patch: side of a patch.
      dropout: share of the MLPs' hidden elements that are dropped, in training.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        hidden: int = 0,
        patch: int = 1,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if width % (2 * heads) or depth < 1 or patch < 1:
            raise ConfigError(
                f"transformer.Transformer: 2 heads={heads} must divide width={width}, and "
                f"depth={depth} and patch={patch} must be 1 or more"
            )
        self.embedding, self.patch, self.out_channels = width, patch, out_channels
        self.dropout, self.dtype = dropout, dtype
        same: Any = dict(dtype=dtype, rngs=rngs)
        self.time = TimeEmbedding(_FREQUENCIES, width, **same)
        self.embed = nnx.Linear(in_channels * patch**2, width, **same)
        hidden = hidden or 4 * width
        self.blocks = nnx.List([Block(width, heads, hidden, **same) for _ in range(depth)])
        self.modulation = zeros_linear(width, 2 * width, dtype=dtype)
        self.to_pixels = zeros_linear(width, out_channels * patch**2, dtype=jnp.float32)

    def __call__(
        self,
        x: Float[Array, "b *t h w c"],
        t: Float[Array, " b"],
        *,
        condition: Float[Array, "b e"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b *t h w d"]:
        *lead, height, width, channels = x.shape
        p = self.patch
        if height % p or width % p:
            raise ConfigError(f"patch={p} does not divide maps of {height}x{width}")
        grid = (*lead[1:], height // p, width // p)
        x = x.reshape(*lead, height // p, p, width // p, p, channels).swapaxes(-4, -3)
        tokens = self.embed(x.reshape(lead[0], -1, p * p * channels))
        tokens = tokens + positions(grid, tokens.shape[-1]).astype(tokens.dtype)
        c = self.time(t) if condition is None else self.time(t) + condition
        for number, block in enumerate(self.blocks):
            own = None if key is None else jax.random.fold_in(key, number)
            tokens = block(tokens, c, self.dropout, own)
        shift, scale = jnp.split(self.modulation(nnx.silu(c))[:, None], 2, axis=-1)
        out = self.to_pixels((_normed(tokens) * (1 + scale) + shift).astype(jnp.float32))
        out = out.reshape(*lead, height // p, width // p, p, p, self.out_channels)
        return out.swapaxes(-4, -3).reshape(*lead, height, width, self.out_channels)


def positions(grid: tuple[int, ...], width: int) -> Float[Array, "n c"]:
    """Return waves of each coordinate of a grid's positions, side by side in `width` channels."""
    share = width // (2 * len(grid)) * 2
    coordinates = jnp.meshgrid(*(jnp.arange(side) for side in grid), indexing="ij")
    found = jnp.concatenate(
        [waves(axis.reshape(-1).astype(jnp.float32), share) for axis in coordinates], axis=-1
    )
    return jnp.pad(found, ((0, 0), (0, width - found.shape[-1])))


def _normed(x: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
    """Return x with mean 0 and variance 1 over its channels, in float32 inside."""
    y = x.astype(jnp.float32)
    y = (y - y.mean(axis=-1, keepdims=True)) / jnp.sqrt(y.var(axis=-1, keepdims=True) + _EPS)
    return y.astype(x.dtype)
