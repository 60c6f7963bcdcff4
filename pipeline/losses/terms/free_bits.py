"""Free bits of the batch mean (Kingma et al., arXiv 1606.04934, eq. 15)."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.errors import ConfigError
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.schedules import Number
from pipeline.core.types import Latent
from pipeline.losses.term import Term, Weight


def free_bits(
    *, minimum: Number = 0.0, weight: Weight = 1.0, where: str = "objective.free_bits"
) -> Term:
    """Return the term sum over groups of max(minimum, mean KL), `minimum` in nats per group."""
    check_minimum(minimum, where)
    return Term(
        lambda outputs, batch, step, frozen: charge(
            group_rates(outputs.latents), minimum, batch.get("mask")
        ),
        weight,
        charges_kl=True,
    )


def charge(
    rates: Float[Array, "b g"], minimum: Number, mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """Return one value per example; their (masked) mean is sum_g max(minimum, mean_b KL_g).

    The mean has the gradient of that sum too: a group whose mean is below `minimum` counts as
    `minimum` and has no gradient. The batch is the set of examples differentiated at once: a
    microbatch if gradients are accumulated.
    """
    mean = jnp.stack([masked_mean(rates[:, group], mask) for group in range(rates.shape[-1])])
    return jnp.where(mean > minimum, rates, minimum).sum(axis=-1)


def group_rates(latents: tuple[Latent, ...]) -> Float[Array, "b g"]:
    """Return the KL of each group that gets free bits, in nats.

    The groups of a hierarchy are its stochastic layers. The groups of a single layer are its
    channels (the last axis), each summed over positions: the dimensions of a vector, or the feature
    maps of IAF (arXiv 1606.04934, section 5.2).
    """
    if len(latents) == 1:
        kl = latents[0].kl
        return kl.reshape(kl.shape[0], -1, kl.shape[-1]).sum(axis=1)
    return layer_rates(latents)


def check_minimum(minimum: Number, where: str) -> None:
    """Raise ConfigError for a minimum below 0."""
    if minimum < 0:
        raise ConfigError(f"{where}.minimum={minimum}: free bits are nats a group, 0 or more")
