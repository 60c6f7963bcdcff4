"""Capacity: the distance of the rate from a target that may grow (arXiv 1804.03599)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core import schedules
from pipeline.core.reduce import masked_mean
from pipeline.core.schedules import Number
from pipeline.losses.term import Term, Weight
from pipeline.losses.terms.rate import total_rate


def capacity(
    *,
    target: Number | Mapping[str, Any] = 25.0,
    weight: Weight = 1000.0,
    where: str = "objective.capacity",
) -> Term:
    """Return the term |mean KL - C| (eq. 7), weighted by the paper's gamma.

    target: C in nats, a number or a schedule; the paper's is linear from 0.
    """
    schedule = schedules.create(target, where=f"{where}.target")

    def value(outputs, batch, step, frozen):
        return gap(total_rate(outputs.latents), schedule(step), batch.get("mask"))

    return Term(
        value,
        weight,
        log_name="capacity",
        charges_kl=True,
        log=lambda value, batch, step: {"capacity": schedule(step)},
    )


def gap(
    rates: Float[Array, " b"], target: Float[Array, ""], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """Return one value per example; their (masked) mean is |mean KL - C|, with its gradient."""
    return jnp.sign(masked_mean(rates, mask) - target) * (rates - target)
