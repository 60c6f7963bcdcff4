"""Losses of a discriminator of latents, and of the encoder that it judges.

The discriminator tells the latents z of a batch from latents of a reference distribution r. Its
logit estimates the log-ratio log q(z) / r(z), with q(z) the mean of the posteriors, and is exact
where its cross-entropy is smallest.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.losses import adversarial

Latents = Float[Array, "b d"]
Logits = Float[Array, " b"]


def permuted(z: Latents, key: PRNGKeyArray) -> Latents:
    """Return z with each of its elements in an order of its own: draws of prod_j q(z_j).

    The log-ratio's mean over q(z) is then the total correlation (FactorVAE, arXiv 1802.05983,
    algorithm 1).
    """
    order = jnp.argsort(jax.random.uniform(key, z.shape), axis=0)
    return jnp.take_along_axis(z, order, axis=0)


def prior(z: Latents, key: PRNGKeyArray) -> Latents:
    """Return as many draws of N(0, 1), the prior (AAE, arXiv 1511.05644)."""
    return jax.random.normal(key, z.shape)


def density_ratio(logits: Logits) -> Float[Array, " b"]:
    """Return log q(z) / r(z) at each example's z: an estimate of KL(q || r), in nats."""
    return logits


def fool(logits: Logits) -> Float[Array, " b"]:
    """Return -log of the probability that the discriminator takes z for the reference.

    ln 2 where it cannot tell them apart.
    """
    return adversarial.non_saturating_generator(-logits)


def cross_entropy(latents: Logits, reference: Logits) -> Float[Array, " b"]:
    """Return the discriminator's cross-entropy of both kinds, halved: ln 2 if it knows nothing."""
    return adversarial.non_saturating_discriminator(latents, reference)


REFERENCES: dict[str, Callable[[Latents, PRNGKeyArray], Latents]] = {
    "permuted": permuted,
    "prior": prior,
}
ENCODER: dict[str, Callable[[Logits], Float[Array, " b"]]] = {
    "density_ratio": density_ratio,
    "fool": fool,
}
