"""SwiGLU: a feed-forward layer whose hidden channels are gated (arXiv 2002.05202)."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.init import LayerFactory
from pipeline.nn.tokens.linear import Linear


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) * up(x)); `hidden` is the width between."""

    def __init__(self, width: int, hidden: int, *, bias: bool = True, make: LayerFactory):
        self.gate = make(Linear, width, hidden, bias=bias)
        self.up = make(Linear, width, hidden, bias=bias)
        self.down = make(Linear, hidden, width, bias=bias)

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))
