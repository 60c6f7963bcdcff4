"""Linear attention with ReLU features, after which no pair of tokens is ever compared.

The weight of token k for token q is proportional to relu(q) . relu(k) (EfficientViT, arXiv
2205.14756, equations 2 to 4), so that keys and values can be summed first: time and memory grow
with the number of tokens, and not with its square.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.nn import init
from pipeline.nn.depthwise import DepthwiseConv

EPS = 1e-15  # the authors'; it only matters where all products of a token are 0


def attend_linearly(
    query: Float[Array, "b n h d"], key: Float[Array, "b n h d"], value: Float[Array, "b n h d"]
) -> Float[Array, "b n h d"]:
    """Return the attention of each token to all tokens, head by head, in float32."""
    query, key = (nnx.relu(x.astype(jnp.float32)) for x in (query, key))
    sums = jnp.einsum("bnhd,bnhe->bhde", key, value.astype(jnp.float32))
    weights = jnp.einsum("bnhd,bhd->bnh", query, key.sum(axis=1))
    return jnp.einsum("bnhd,bhde->bnhe", query, sums) / (weights[..., None] + EPS)


class AggregatedProjection(nnx.Module):
    """Queries, keys and values of a neighborhood: a depthwise convolution, and then a linear map
    within each group of `head_dim` channels.
    """

    def __init__(
        self, features: int, head_dim: int, kernel_size: int, *, rngs: nnx.Rngs, dtype: Any
    ):
        self.depthwise = DepthwiseConv(
            features, kernel_size, bias_scale=None, key=rngs.params(), dtype=dtype
        )
        shape = (features // head_dim, head_dim, head_dim)
        self.pointwise = nnx.Param(init.uniform(rngs.params(), shape, head_dim**-0.5))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        y = self.depthwise(x)
        groups = y.reshape(*y.shape[:-1], *self.pointwise.shape[:2])
        y = jnp.einsum("bhwgc,gcd->bhwgd", groups, self.pointwise[...].astype(self.dtype))
        return y.reshape(x.shape)


class LinearAttention(nnx.Module):
    """Linear attention over the pixels of an image, and a linear map of its output.

    Queries, keys and values are side by side, and are cut into heads of 3 x `head_dim` consecutive
    channels, as the public code and its weights do: a head's query, key and value may all be of
    what is called the query here.

    Args:
      head_dim: channels of a head.
      kernel_sizes: sizes of the neighborhoods of further heads, which see aggregated queries, keys
        and values; without any, there are just the heads of single pixels.
    """

    def __init__(
        self,
        features: int,
        *,
        head_dim: int,
        kernel_sizes: Sequence[int] = (),
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if features % head_dim:
            raise ConfigError(
                f"linear attention: head_dim={head_dim} must divide {features} channels"
            )
        # Torch's default initialization.
        initializer = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

        def linear(width: int) -> nnx.Linear:
            same: Any = dict(use_bias=False, kernel_init=initializer, dtype=dtype, rngs=rngs)
            return nnx.Linear(width, features, **same)

        self.query, self.key, self.value = linear(features), linear(features), linear(features)
        self.aggregated = nnx.List(
            [
                AggregatedProjection(3 * features, head_dim, size, rngs=rngs, dtype=dtype)
                for size in kernel_sizes
            ]
        )
        self.out = linear(features * (1 + len(kernel_sizes)))
        self.head_dim, self.dtype = head_dim, dtype

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, _ = x.shape
        own = jnp.concatenate([self.query(x), self.key(x), self.value(x)], axis=-1)
        scales = [own, *(aggregate(own) for aggregate in self.aggregated)]
        qkv = jnp.concatenate(scales, axis=-1).reshape(b, h * w, -1, 3, self.head_dim)
        out = attend_linearly(qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :])
        return self.out(out.reshape(b, h, w, -1).astype(self.dtype))
