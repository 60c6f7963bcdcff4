"""Codes that are parameters, trained by the gradient of a loss term (arXiv 1711.00937, eq. 3)."""

from typing import Literal

from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.nn import init


class Learned(nnx.Module):
    """`num_codes` codes of `dim` numbers.

    Args:
      start: distribution of the codes at the start, "uniform" in +-scale or "normal" with this
        deviation.
      scale: by default 1 / num_codes, as in VQGAN's code, and 1 for "normal".
    """

    def __init__(
        self,
        *,
        num_codes: int,
        dim: int,
        start: Literal["uniform", "normal"] = "uniform",
        scale: float | int | None = None,
        key: PRNGKeyArray,
    ):
        shape = (num_codes, dim)
        draw, usual = (init.uniform, 1 / num_codes) if start == "uniform" else (init.normal, 1.0)
        self.codes = nnx.Param(draw(key, shape, usual if scale is None else scale))

    def __call__(self) -> Float[Array, "k d"]:
        """Return the codes."""
        return self.codes[...]

    def follow(
        self, x: Float[Array, "*n d"], indices: Int[Array, "*n"], key: PRNGKeyArray | None
    ) -> None:
        """Do nothing: the optimizer moves these codes."""
