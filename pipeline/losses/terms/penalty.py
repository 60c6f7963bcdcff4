"""Penalty that a model's paper adds to the ELBO: the model's output aux["penalty"]."""

from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.term import Term, Weight


def penalty(*, weight: Weight = 1.0) -> Term:
    """Return the term aux["penalty"] [b], in nats; no part of the ELBO."""
    return Term(
        lambda outputs, batch, step, frozen: _of(outputs),
        weight,
        log_name="penalty",
    )


def _of(outputs: Outputs) -> Float[Array, " b"]:
    if "penalty" not in outputs.aux:
        raise ConfigError("objective.penalty: this model has none; remove the term")
    return outputs.aux["penalty"]
