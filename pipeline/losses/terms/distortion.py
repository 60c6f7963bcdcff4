"""Distortion: the negative log-likelihood of the images, -log p(x | z)."""

from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Outputs, examples_of
from pipeline.losses.term import Term, Weight


def distortion(*, weight: Weight = 1.0) -> Term:
    """Return the term -log p(x | z)."""
    return Term(
        lambda outputs, batch, step, frozen: negative_log_likelihood(outputs, batch),
        weight,
        log_name="distortion",
        likelihood=True,
    )


def negative_log_likelihood(outputs: Outputs, batch: Batch) -> Float[Array, " b"]:
    """Return -log p(x | z) of each example, in nats.

    Raises:
      ConfigError: the model has a reconstruction and no likelihood.
    """
    if not hasattr(outputs.recon, "log_prob"):
        raise ConfigError(
            "objective.distortion: this model's output has no likelihood; use objective.l1 or l2"
        )
    return -outputs.recon.log_prob(examples_of(batch))
