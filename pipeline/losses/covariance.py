"""Covariances of a batch and their distance from the identity (DIP-VAE, arXiv 1711.00848)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.schedules import Number


def masked_covariance(
    x: Float[Array, "b d"], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, "d d"]:
    """Return the covariance of the examples whose mask is not 0, divided by their number."""
    used = jnp.ones(len(x), bool) if mask is None else mask > 0
    count = jnp.maximum(used.sum(), 1)
    x = jnp.where(used[:, None], x, 0.0)
    centered = jnp.where(used[:, None], x - x.sum(axis=0) / count, 0.0)
    return centered.T @ centered / count


def distance_from_identity(covariance: Float[Array, "d d"], diagonal: Number) -> Float[Array, ""]:
    """Return sum_{i != j} C_ij^2 + diagonal * sum_i (C_ii - 1)^2."""
    variances = jnp.diagonal(covariance)
    off_diagonal = covariance - jnp.diag(variances)
    return jnp.square(off_diagonal).sum() + diagonal * jnp.square(variances - 1).sum()
