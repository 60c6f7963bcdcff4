"""The covariance of latents, which is to be the identity (DIP-VAE-II, arXiv 1711.00848)."""

import jax
import jax.numpy as jnp

from pipeline.core.reduce import masked_mean
from pipeline.core.schedules import Number
from pipeline.losses.aggregate_posterior import posteriors_of
from pipeline.losses.covariance import distance_from_identity, masked_covariance
from pipeline.losses.term import Term, Weight


def aggregate_covariance(
    *, weight: Weight = 1.0, diagonal: Number = 1.0, where: str = "objective.aggregate_covariance"
) -> Term:
    """Return sum_{i != j} C_ij^2 + diagonal * sum_i (C_ii - 1)^2 with C = Cov[z].

    It is the covariance of the posterior means plus the mean covariance of the posteriors.

    The covariance is over the batch that is differentiated at once: a microbatch if gradients are
    accumulated. Every example has the value of the batch.

    diagonal: weight of the squared distances of the variances from 1.
    """

    def value(outputs, batch, step, frozen):
        (_, mean, logvar), mask = posteriors_of(outputs, where), batch.get("mask")
        variances = jax.vmap(masked_mean, (1, None))(jnp.exp(logvar), mask)
        covariance = masked_covariance(mean, mask) + jnp.diag(variances)
        return jnp.broadcast_to(distance_from_identity(covariance, diagonal), len(mean))

    return Term(
        value,
        weight,
        log_name="aggregate_covariance",
        log=lambda value, batch, step: {"aggregate_covariance": value[0]},
    )
