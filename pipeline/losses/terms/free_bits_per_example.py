"""Free bits per example; by Jensen's inequality, at least the free bits of the batch mean."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.schedules import Number
from pipeline.losses.term import Term, Weight
from pipeline.losses.terms.free_bits import check_minimum, group_rates


def free_bits_per_example(
    *, minimum: Number = 0.0, weight: Weight = 1.0, where: str = "objective.free_bits_per_example"
) -> Term:
    """Return the term sum over groups of max(minimum, KL), `minimum` in nats per group."""
    check_minimum(minimum, where)
    return Term(
        lambda outputs, batch, step, frozen: charge(group_rates(outputs.latents), minimum),
        weight,
        charges_kl=True,
    )


def charge(rates: Float[Array, "b g"], minimum: Number) -> Float[Array, " b"]:
    """Return sum_g max(minimum, KL_g) of each example."""
    return jnp.maximum(rates, minimum).sum(axis=-1)
