"""A rate that is balanced over layers (NVAE, arXiv 2007.03898, appendix A)."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Latent
from pipeline.losses.term import Term, Weight, weight_at
from pipeline.losses.terms.rate import total_rate


def balanced_rate(*, weight: Weight = 1.0) -> Term:
    """Return the balanced KL while the weight is below 1, and the plain KL from then on.

    It keeps small layers at the top in use during the warm-up of the weight.
    """

    def value(outputs, batch, step, frozen):
        plain = total_rate(outputs.latents)
        return jnp.where(
            weight_at(weight, step) < 1, balance(outputs.latents, batch.get("mask")), plain
        )

    return Term(value, weight, charges_kl=True)


def balance(
    latents: tuple[Latent, ...], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """Return sum_l gamma_l KL_l, in which a layer with a large rate pays more for it.

    gamma_l is (mean_b |KL_l| + 0.01) / s_l without its gradient, scaled so that the mean of all
    gamma_l is 1; s_l is the number of positions of the layer over the number of layers that have
    as many.
    """
    rates = layer_rates(latents)
    positions = [math.prod(latent.z.shape[1:-1]) for latent in latents]
    sizes = jnp.asarray([number / positions.count(number) for number in positions], jnp.float32)
    means = jnp.stack(
        [masked_mean(jnp.abs(rates[:, layer]), mask) for layer in range(rates.shape[-1])]
    )
    gamma = jax.lax.stop_gradient((means + 0.01) / sizes)
    return (rates * (gamma / gamma.mean())).sum(axis=-1)
