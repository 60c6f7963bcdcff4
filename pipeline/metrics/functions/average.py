"""Averages over examples that come in batches, some of them padding."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped


def masked_sum(values: Float[Array, "b ..."], mask: Shaped[Array, " b"]) -> Float[Array, "..."]:
    """Sum over the examples whose mask is not 0."""
    mask = mask.reshape(-1, *[1] * (values.ndim - 1))
    # where, not a product: padding may hold infinities.
    return jnp.where(mask > 0, values, 0.0).sum(axis=0)


class Averages:
    """Named sums in float64 over any number of batches, and the number of examples in them."""

    def __init__(self):
        self.count = 0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, sums: Mapping[str, Array], count: Array | float) -> None:
        """Takes a batch's `masked_sum`s and how many examples they cover."""
        self.count += round(float(count))
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, np.float64(0)) + np.asarray(value, np.float64)

    def mean(self, name: str) -> np.ndarray:
        """The average; raises ZeroDivisionError when no example was seen."""
        if not self.count:
            raise ZeroDivisionError(f"no examples to average {name} over")
        return np.asarray(self._sums[name] / self.count)
