"""The feed-forward layer of a transformer, with the activation functions of published models."""

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend.gelu import gelu
from pipeline.nn.init import LayerFactory
from pipeline.nn.tokens.linear import Linear

Activation = Callable[[Array], Array]


class MLP(nnx.Module):
    """Linear, an activation, and linear again; `hidden` is the width between them."""

    def __init__(
        self, width: int, hidden: int, *, activation: Activation = gelu, make: LayerFactory
    ):
        self.wide, self.back = make(Linear, width, hidden), make(Linear, hidden, width)
        self.activation = activation

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        return self.back(self.activation(self.wide(x)))


def tanh_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the tanh approximation of GELU (arXiv 1606.08415), as SigLIP has it."""
    return jax.nn.gelu(x, approximate=True)


def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x sigmoid(1.702 x), the approximation of GELU in OpenAI's CLIP."""
    return x * jax.nn.sigmoid(1.702 * x)
