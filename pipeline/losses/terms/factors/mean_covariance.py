"""The covariance of posterior means, which is to be the identity (DIP-VAE-I, arXiv 1711.00848)."""

import jax.numpy as jnp

from pipeline.core.schedules import Number
from pipeline.losses.aggregate_posterior import posteriors_of
from pipeline.losses.covariance import distance_from_identity, masked_covariance
from pipeline.losses.term import Term, Weight


def mean_covariance(
    *, weight: Weight = 1.0, diagonal: Number = 10.0, where: str = "objective.mean_covariance"
) -> Term:
    """Return sum_{i != j} C_ij^2 + diagonal * sum_i (C_ii - 1)^2 with C = Cov[mean of q(z | x)].

    The covariance is over the batch that is differentiated at once: a microbatch if gradients are
    accumulated. Every example has the value of the batch.

    diagonal: weight of the squared distances of the variances from 1.
    """

    def value(outputs, batch, step, frozen):
        mean = posteriors_of(outputs, where).mean
        covariance = masked_covariance(mean, batch.get("mask"))
        return jnp.broadcast_to(distance_from_identity(covariance, diagonal), len(mean))

    return Term(
        value,
        weight,
        log_name="mean_covariance",
        log=lambda value, batch, step: {"mean_covariance": value[0]},
    )
