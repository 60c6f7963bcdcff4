"""Entropies of the softmax over the codes of a codebook (IBQ, arXiv 2412.02692, section 3.3)."""

import jax
import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.code_error import array_of, mean_per_frame
from pipeline.losses.term import Term, Weight, num_frames
from pipeline.quantization.entropy import entropy


def code_entropy(
    *,
    weight: Weight = 0.05,
    diversity: float | int = 1.0,
    temperature: float | int = 0.01,
    where: str = "objective.code_entropy",
) -> Term:
    """Return E[H(q(k | x))] - diversity * H(E[q(k | x)]), in nats per position.

    The mean q is over the batch that is differentiated at once: a microbatch if gradients are
    accumulated.

    diversity: weight of the entropy of all positions together, which is to be large. temperature:
    divides the logits.
    """
    if temperature <= 0:
        raise ConfigError(f"{where}.temperature={temperature} must be above 0")

    def value(outputs, batch, step, frozen):
        log_q = jax.nn.log_softmax(array_of(outputs, "code_logits", where) / temperature)
        q = jnp.exp(log_q)
        sure = mean_per_frame(-(q * log_q).sum(axis=-1), batch)
        share = batch.get("mask", jnp.ones(len(q)))
        share = share / jnp.maximum(share.sum(), 1.0)
        mean = jnp.tensordot(share, q.mean(axis=tuple(range(1, q.ndim - 1))), 1)
        return sure - diversity * entropy(mean) * num_frames(batch)

    return Term(value, weight, log_name="code_entropy", per_value=True)
