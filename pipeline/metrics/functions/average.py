"""Averages over examples that arrive in batches and may be padding."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped


def masked_sum(values: Float[Array, "b ..."], mask: Shaped[Array, " b"]) -> Float[Array, "..."]:
    """Return the sum over the examples whose mask is not 0."""
    mask = mask.reshape(-1, *[1] * (values.ndim - 1))
    # where, not a product: padding may hold infinities.
    return jnp.where(mask > 0, values, 0.0).sum(axis=0)


class Averages:
    """Named sums over any number of batches, in float64, and the number of examples in them."""

    def __init__(self):
        self.count = 0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, sums: Mapping[str, Array], count: Array | float) -> None:
        """Add the `masked_sum`s of a batch, which has `count` examples."""
        self.count += round(float(count))
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, np.float64(0)) + np.asarray(value, np.float64)

    def mean(self, name: str) -> np.ndarray:
        """Return the average of the values under a name.

        Raises:
          ZeroDivisionError: no example was added.
        """
        if not self.count:
            raise ZeroDivisionError(f"no examples to average {name} over")
        return np.asarray(self._sums[name] / self.count)
