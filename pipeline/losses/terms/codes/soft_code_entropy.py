"""Entropies of the weights of SoftVQ's codes (arXiv 2412.10958, section 3.2)."""

import jax
import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.code_error import array_of
from pipeline.losses.term import Term, Weight
from pipeline.quantization.entropy import entropy


def soft_code_entropy(
    *,
    weight: Weight = 0.01,
    diversity: float | int = 1.0,
    temperature: float | int = 0.01,
    where: str = "objective.soft_code_entropy",
) -> Term:
    """Return E[H(q(k | x))] - diversity * H(E[q(k | x)]), in nats, a mean over the codebooks.

    The mean q of a codebook is over its positions and the batch that is differentiated at once.

    diversity: weight of the entropy of all positions together, which is to be large. temperature:
    divides the cosines.
    """
    if temperature <= 0:
        raise ConfigError(f"{where}.temperature={temperature} must be above 0")

    def value(outputs, batch, step, frozen):
        log_q = jax.nn.log_softmax(array_of(outputs, "code_cosines", where) / temperature)
        q = jnp.exp(log_q)
        sure = -(q * log_q).sum(axis=-1).mean(axis=(1, 2))
        share = batch.get("mask", jnp.ones(len(q)))
        share = share / jnp.maximum(share.sum(), 1.0)
        mean = jnp.tensordot(share, q.mean(axis=2), 1)
        return sure - diversity * jax.vmap(entropy)(mean).mean()

    return Term(value, weight, log_name="soft_code_entropy", per_value=True)
