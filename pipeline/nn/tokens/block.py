"""The block of a transformer that normalizes before each branch (pre-norm)."""

from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.rotary import Turns


class Block(nnx.Module):
    """x + scale1(attention(norm1(x))), then x + scale2(mlp(norm2(x))).

    Args:
      attention, mlp: the layers of the two branches.
      norms: the norm before each branch.
      scales: a LayerScale after each branch; None for neither.
    """

    def __init__(
        self,
        attention: Attention,
        mlp: nnx.Module,
        *,
        norms: tuple[nnx.Module, nnx.Module],
        scales: tuple[nnx.Module, nnx.Module] | None = None,
    ):
        self.norm1, self.norm2 = norms
        self.scale1, self.scale2 = scales or (None, None)
        self.attention, self.mlp = attention, mlp

    def __call__(self, x: Float[Array, "b n c"], by: Turns | None = None) -> Float[Array, "b n c"]:
        """Return the tokens; `by` rotates queries and keys of patches (rotary positions)."""
        branch = self.attention(self.norm1(x), by)
        x = x + (branch if self.scale1 is None else self.scale1(branch))
        branch = self.mlp(self.norm2(x))
        return x + (branch if self.scale2 is None else self.scale2(branch))
