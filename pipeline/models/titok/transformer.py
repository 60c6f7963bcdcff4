"""TiTok's transformers (arXiv 2406.07550, section 3.2): from patches to tokens, and back.

Both attend over a class token, the patches, and the tokens of the latent, each with a learned
position, so that images have one size. Weights start as the authors', N(0, 0.02^2).
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend.gelu import gelu
from pipeline.core.errors import ConfigError
from pipeline.nn import init
from pipeline.nn.attention import attend_to_all
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens.patches import to_patches

Tokens = Float[Array, "b n c"]
_EPS = 1e-5  # of layer norms, torch's default
_DEVIATION = 0.02


class Block(nnx.Module):
    """x + attention(norm(x)), then x + linear(gelu(linear(norm(x)))) of four times the width."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs, dtype: Any):
        self.norm1, self.norm2 = LayerNorm(width, eps=_EPS), LayerNorm(width, eps=_EPS)
        # torch's start of an attention's input projection, and N(0, 0.02^2) elsewhere.
        bound = (6 / (4 * width)) ** 0.5
        self.qkv = linear(
            width, 3 * width, rngs, dtype, lambda key, shape, _: init.uniform(key, shape, bound)
        )
        self.out = linear(width, width, rngs, dtype)
        self.hidden = linear(width, 4 * width, rngs, dtype)
        self.back = linear(4 * width, width, rngs, dtype)
        self.heads = heads

    def __call__(self, x: Tokens) -> Tokens:
        x = x + self.out(attend_to_all(self.qkv(self.norm1(x)), self.heads))
        return x + self.back(gelu(self.hidden(self.norm2(x))))


class Sequence(nnx.Module):
    """A class token, patches and the latent's tokens, with positions, through `depth` blocks.

    Attributes:
      block: class of the blocks, made from (width, heads).
      eps: of the norms.
    """

    block: Any = Block
    eps = _EPS

    def __init__(
        self,
        num_patches: int,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        if width % heads:
            raise ConfigError(f"model.width={width} must be a multiple of model.heads={heads}")
        self.class_token = learned(rngs, (1, width))
        self.positions = learned(rngs, (num_patches + 1, width))
        self.token_positions = learned(rngs, (num_tokens, width))
        self.norm_in = self.first_norm(width)
        self.blocks = nnx.List(
            [self.block(width, heads, rngs=rngs, dtype=dtype) for _ in range(depth)]
        )
        self.norm_out = LayerNorm(width, eps=self.eps)

    def first_norm(self, width: int) -> LayerNorm | None:
        """Return the norm before the first block."""
        return LayerNorm(width, eps=self.eps)

    def __call__(
        self, patches: Float[Array, "b n c"], tokens: Float[Array, "b m c"]
    ) -> tuple[Float[Array, "b n c"], Float[Array, "b m c"]]:
        """Return patches and tokens after the blocks, not yet normalized."""
        b, n, width = patches.shape
        first = jnp.broadcast_to(self.class_token[...], (b, 1, width)).astype(patches.dtype)
        x = jnp.concatenate([first, patches], axis=1) + self.positions[...].astype(patches.dtype)
        tokens = tokens + self.token_positions[...].astype(tokens.dtype)
        x = jnp.concatenate([x, tokens], axis=1)
        x = x if self.norm_in is None else self.norm_in(x)
        for block in self.blocks:
            x = block(x)
        return x[:, 1 : 1 + n], x[:, 1 + n :]


class TokenEncoder(nnx.Module):
    """Images [b h w c] -> features of the latent's tokens [b n d].

    Args:
      side: patches along each side of an image.
      patch: pixels along each side of a patch.
      untransposed: read the features of the tokens as [width, n] without transposing them from
        [n, width] before the last layer, as the released models do: it mixes tokens and channels.

    Attributes:
      sequence_class: class of the transformer.
    """

    sequence_class: type[Sequence] = Sequence

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        side: int,
        patch: int,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        untransposed: bool,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.patch, self.untransposed = patch, untransposed
        self.embed = linear(in_channels * patch**2, width, rngs, dtype)
        self.sequence = self.sequence_class(
            side**2, num_tokens, width, depth, heads, rngs=rngs, dtype=dtype
        )
        self.project = linear(width, out_channels, rngs, dtype)

    def __call__(
        self, x: Float[Array, "b h w c"], tokens: Float[Array, "n width"]
    ) -> Float[Array, "b n d"]:
        """Return the features; `tokens` are the model's learned queries, equal for all images."""
        return self.read(self.embed_patches(x), tokens)

    def embed_patches(self, x: Float[Array, "b h w c"]) -> Float[Array, "b m width"]:
        """Return the embedding of each patch, in the order of rows."""
        patches = to_patches(x, self.patch)
        return self.embed(patches.reshape(len(x), -1, x.shape[-1] * self.patch**2))

    def read(
        self, x: Float[Array, "b m width"], tokens: Float[Array, "n width"]
    ) -> Float[Array, "b n d"]:
        """Return the features of the tokens after they have attended to the embedded patches."""
        b = len(x)
        tokens = jnp.broadcast_to(tokens, (b, *tokens.shape)).astype(x.dtype)
        _, tokens = self.sequence(x, tokens)
        tokens = self.sequence.norm_out(tokens)
        if self.untransposed:
            _, n, width = tokens.shape
            tokens = tokens.reshape(b, width, n).swapaxes(1, 2)
        return self.project(tokens)


class TokenDecoder(nnx.Module):
    """Tokens of the latent [b n d] -> logits of the proxy code of each patch [b side side k]."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_codes: int,
        side: int,
        num_tokens: int,
        width: int,
        depth: int,
        heads: int,
        rngs: nnx.Rngs,
        dtype: Any,
    ):
        self.side = side
        self.embed = linear(in_channels, width, rngs, dtype)
        self.mask_token = learned(rngs, (1, width))
        self.sequence = Sequence(side**2, num_tokens, width, depth, heads, rngs=rngs, dtype=dtype)
        self.hidden = linear(width, 2 * width, rngs, dtype)
        self.logits = linear(2 * width, num_codes, rngs, dtype)

    def __call__(self, z: Float[Array, "b n d"]) -> Float[Array, "b side side k"]:
        tokens = self.embed(z)
        b, _, width = tokens.shape
        patches = jnp.broadcast_to(self.mask_token[...], (b, self.side**2, width))
        patches, _ = self.sequence(patches.astype(tokens.dtype), tokens)
        h = jnp.tanh(self.hidden(self.sequence.norm_out(patches)))
        return self.logits(h).astype(jnp.float32).reshape(b, self.side, self.side, -1)


def learned(rngs: nnx.Rngs, shape: tuple[int, int]) -> nnx.Param:
    """Return vectors [n width] that start as N(0, 1 / width)."""
    return nnx.Param(init.normal(rngs.params(), shape, shape[-1] ** -0.5))


def linear(width: int, out: int, rngs: nnx.Rngs, dtype: Any, start: Any = None) -> nnx.Linear:
    """Return a linear layer whose kernel starts as N(0, 0.02^2), or as `start`."""
    start = start or (lambda key, shape, _: init.normal(key, shape, _DEVIATION))
    return nnx.Linear(width, out, kernel_init=start, dtype=dtype, rngs=rngs)
