"""The network of vectors in Diffusion Autoencoders (arXiv 2111.15640, appendix A).

Layers of silu(norm(linear (1 + scale(t)))), each of which gets x_t beside the layer before.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.conditioning.modulation import zeros_linear
from pipeline.core.errors import ConfigError
from pipeline.denoisers.dropout import dropout
from pipeline.denoisers.time_embedding import TimeEmbedding
from pipeline.nn.norm import LayerNorm

FREQUENCIES = 64


class Layer(nnx.Module):
    """silu(norm(linear(x) (1 + scale(silu(embedding))))): modulated, then normalized."""

    def __init__(self, inputs: int, width: int, embedding: int, *, rngs: nnx.Rngs, dtype: Any):
        self.linear = nnx.Linear(inputs, width, dtype=dtype, rngs=rngs)
        self.norm = LayerNorm(width, eps=1e-5)
        self.scale = nnx.Linear(embedding, width, dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b c"], embedding: Float[Array, "b e"]
    ) -> Float[Array, "b d"]:
        h = self.linear(x) * (1 + self.scale(nnx.silu(embedding)))
        return nnx.silu(self.norm(h))


class SkipMLP(nnx.Module):
    """x_t [b c] and t [b] -> a prediction [b d].

    Args:
      depth: hidden layers; the authors have 10, and 20 for their hardest data.
      width: of a hidden layer; theirs is 2048.
      dropout: share of elements that are dropped after each hidden layer, in training.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        depth: int = 10,
        width: int = 2048,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if depth < 1:
            raise ConfigError(f"depth={depth} of mlp.SkipMLP must be at least 1")
        self.embedding = width
        self.time = TimeEmbedding(FREQUENCIES, width, rngs=rngs, dtype=dtype)
        inputs = [in_channels] + [width + in_channels] * (depth - 1)
        self.layers = nnx.List(
            [Layer(each, width, width, rngs=rngs, dtype=dtype) for each in inputs]
        )
        self.out = zeros_linear(width + in_channels, out_channels, dtype=dtype)
        self.dropout = dropout

    def __call__(
        self,
        x: Float[Array, "b c"],
        t: Float[Array, " b"],
        *,
        condition: Float[Array, "b e"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b d"]:
        embedding = self.time(t)
        embedding = embedding if condition is None else embedding + condition
        h = x
        for number, layer in enumerate(self.layers):
            h = layer(h if number == 0 else jnp.concatenate([h, x], axis=-1), embedding)
            own = None if key is None else jax.random.fold_in(key, number)
            h = dropout(h, self.dropout, own)
        return self.out(jnp.concatenate([h, x], axis=-1)).astype(jnp.float32)
