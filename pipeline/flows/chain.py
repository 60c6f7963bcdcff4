"""Composition of flows."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Chain(nnx.Module):
    """Flows applied in order; their log-determinants add."""

    def __init__(self, flows: Sequence[Any]):
        self.flows = nnx.List(list(flows))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        total = jnp.zeros_like(z)
        for flow in self.flows:
            z, log_det = flow(z)
            total = total + log_det
        return z, total

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        for flow in reversed(list(self.flows)):
            y = flow.inverse(y)
        return y

    def inverse_and_log_det(
        self, y: Float[Array, "b d"]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Return z with flow(z) = y, and the log-determinant that flow(z) returns."""
        total = jnp.zeros_like(y)
        for flow in reversed(list(self.flows)):
            if hasattr(flow, "inverse_and_log_det"):
                y, log_det = flow.inverse_and_log_det(y)
            else:
                y = flow.inverse(y)
                log_det = flow(y)[1]
            total = total + log_det
        return y, total


class Reverse(nnx.Module):
    """A reversal of the features, so that the next flow orders them differently."""

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        return jnp.flip(z, -1), jnp.zeros_like(z)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        return jnp.flip(y, -1)
