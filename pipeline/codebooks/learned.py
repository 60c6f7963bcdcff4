"""Codes that are parameters, trained by the gradient of a loss term (arXiv 1711.00937, eq. 3)."""

from typing import Any, Literal

from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.nn import init


class Learned(nnx.Module):
    """`num_codes` codes of `dim` numbers.

    Args:
      start: distribution of the codes at the start: "uniform" in +-1 / num_codes, as in VQGAN's
        code, or "normal", N(0, 1).
    """

    def __init__(
        self,
        *,
        num_codes: int,
        dim: int,
        start: Literal["uniform", "normal"] = "uniform",
        key: PRNGKeyArray,
    ):
        shape = (num_codes, dim)
        codes: Any = init.uniform(key, shape, 1 / num_codes)
        self.codes = nnx.Param(codes if start == "uniform" else init.normal(key, shape))

    def __call__(self) -> Float[Array, "k d"]:
        """Return the codes."""
        return self.codes[...]

    def follow(
        self, x: Float[Array, "*n d"], indices: Int[Array, "*n"], key: PRNGKeyArray | None
    ) -> None:
        """Do nothing: the optimizer moves these codes."""
