"""Flows one after the other."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Chain(nnx.Module):
    """The first flow first; log-determinants add."""

    def __init__(self, flows: Sequence[Any]):
        self.flows = nnx.List(list(flows))

    def __call__(
        self, z: Float[Array, "b *s d"]
    ) -> tuple[Float[Array, "b *s d"], Float[Array, "b *s d"]]:
        total = jnp.zeros_like(z)
        for flow in self.flows:
            z, log_det = flow(z)
            total = total + log_det
        return z, total

    def inverse(self, y: Float[Array, "b *s d"]) -> Float[Array, "b *s d"]:
        for flow in reversed(list(self.flows)):
            y = flow.inverse(y)
        return y


class Reverse(nnx.Module):
    """The last axis the other way round, so that the next flow's order is another one."""

    def __call__(
        self, z: Float[Array, "b *s d"]
    ) -> tuple[Float[Array, "b *s d"], Float[Array, "b *s d"]]:
        return jnp.flip(z, -1), jnp.zeros_like(z)

    def inverse(self, y: Float[Array, "b *s d"]) -> Float[Array, "b *s d"]:
        return jnp.flip(y, -1)
