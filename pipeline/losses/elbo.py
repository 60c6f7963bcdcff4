"""The evidence lower bound and its variants, one value an example, in nats.

    objective = elbo.create(config.objective)              # once; ConfigError where it cannot work
    loss, terms = objective(outputs, batch, step)           # in the step, under jit

`loss` [b] is what to minimise: reduce it with `masked_mean(loss, batch.get("mask"))`, after dividing by the
number of image dimensions where the unit is nats per dimension. `terms` are named values to log, reduced the
same way: per example [b], or scalars (weights). "distortion" + "rate" is the negative ELBO, whatever the loss
weights. Where a model's outputs have aux["penalty"], what its paper adds to that, it is a term of its own, of weight 1.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from pipeline.core import schedules
from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.schedules import Number, Schedule
from pipeline.core.types import Batch, Latent, Outputs

UNITS = ("dimension", "image")


def distortion(outputs: Outputs, image: Shaped[Array, "b ..."]) -> Float[Array, " b"]:
    """-log p(x | z)."""
    return -outputs.recon.log_prob(image)


def rate(latents: tuple[Latent, ...]) -> Float[Array, " b"]:
    """KL of all layers."""
    return layer_rates(latents).sum(axis=-1)


def group_rates(latents: tuple[Latent, ...]) -> Float[Array, "b g"]:
    """KL of each group that free bits are given to.

    A hierarchy's groups are its stochastic layers. A single layer's are its channels (the last axis), each
    summed over positions: the dimensions of a vector, the feature maps of IAF (1606.04934, section 5.2).
    """
    if len(latents) == 1:
        kl = latents[0].kl
        return kl.reshape(kl.shape[0], -1, kl.shape[-1]).sum(axis=1)
    return layer_rates(latents)


def free_bits(
    rates: Float[Array, "b g"], minimum: Number, mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """Free bits of the batch mean: the sum over groups of max(minimum, mean_b KL_g) (1606.04934, eq. 15).

    Given an example each, so that the (masked) mean over the batch is that sum, with its gradient: a group
    whose mean is below `minimum` counts `minimum`, and no example of the batch pulls on it. The batch is what
    the caller differentiates at once: with accumulated gradients, each part of it.
    """
    mean = jnp.stack([masked_mean(rates[:, group], mask) for group in range(rates.shape[-1])])
    return jnp.where(mean > minimum, rates, minimum).sum(axis=-1)


def free_bits_per_example(rates: Float[Array, "b g"], minimum: Number) -> Float[Array, " b"]:
    """Free bits of each example: sum over groups of max(minimum, KL_g); at least `free_bits`, by Jensen."""
    return jnp.maximum(rates, minimum).sum(axis=-1)


def capacity_gap(
    rates: Float[Array, " b"], target: Float[Array, ""], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """|KL - C| of the batch's mean KL (Burgess et al., 1804.03599, eq. 7), given an example each.

    The (masked) mean over the batch is |mean KL - C|, with its gradient.
    """
    return jnp.sign(masked_mean(rates, mask) - target) * (rates - target)


def balanced_rate(
    latents: tuple[Latent, ...], mask: Shaped[Array, " b"] | None = None
) -> Float[Array, " b"]:
    """Sum over layers of gamma_l KL_l: a layer with a large rate pays more for it (NVAE, 2007.03898, appendix A).

    gamma_l is (mean_b |KL_l| + 0.01) / s_l without its gradient, scaled so that their mean is 1; s_l is the number of
    positions of the layer over the number of layers that have as many. Small layers at the top are not left unused
    while beta is below 1.
    """
    rates = layer_rates(latents)
    positions = [math.prod(latent.z.shape[1:-1]) for latent in latents]
    sizes = jnp.asarray([number / positions.count(number) for number in positions], jnp.float32)
    means = jnp.stack(
        [masked_mean(jnp.abs(rates[:, layer]), mask) for layer in range(rates.shape[-1])]
    )
    gamma = jax.lax.stop_gradient((means + 0.01) / sizes)
    return (rates * (gamma / gamma.mean())).sum(axis=-1)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the ELBO step minimises; see `create`."""

    beta: Schedule
    capacity: Schedule | None
    gamma: Number
    free_bits: Number
    free_bits_per_example: Number
    balance: bool = False
    spectral: Schedule | None = None
    unit: str = "dimension"

    def __call__(
        self, outputs: Outputs, batch: Batch, step: Int[Array, ""] | int
    ) -> tuple[Float[Array, " b"], dict[str, Float[Array, "..."]]]:
        """Loss of each example and named terms, in nats; `step` may be traced."""
        terms = {"distortion": distortion(outputs, batch["image"]), "rate": rate(outputs.latents)}
        mask = batch.get("mask")
        if self.capacity is not None:
            terms["capacity"] = self.capacity(step)
            charge = self.gamma * capacity_gap(terms["rate"], terms["capacity"], mask)
        else:
            terms["beta"] = self.beta(step)
            charge = terms["beta"] * self._free(outputs.latents, terms, mask)
        loss = terms["distortion"] + charge
        if "penalty" in outputs.aux:
            terms["penalty"] = outputs.aux["penalty"]
            loss = loss + terms["penalty"]
        return loss, terms

    def _free(
        self, latents: tuple[Latent, ...], terms: dict[str, Array], mask: Shaped[Array, " b"] | None
    ) -> Float[Array, " b"]:
        """The rate, or with free bits what is charged for it."""
        if self.free_bits > 0:
            terms["charged_rate"] = free_bits(group_rates(latents), self.free_bits, mask)
        elif self.free_bits_per_example > 0:
            terms["charged_rate"] = free_bits_per_example(
                group_rates(latents), self.free_bits_per_example
            )
        elif self.balance:
            terms["charged_rate"] = jnp.where(
                terms["beta"] < 1, balanced_rate(latents, mask), terms["rate"]
            )
        return terms.get("charged_rate", terms["rate"])


def create(recipe: Mapping[str, Any] | None = None, *, where: str = "objective") -> Objective:
    """The objective that a recipe's `objective` asks for; an empty one is the ELBO.

    beta: weight of the rate, a number or a schedule. capacity: dict(gamma=, end=, steps=, ...), any
    schedule's keys and the factor gamma: minimises distortion + gamma * |rate - C| instead, with C linear
    from 0 unless `name` says otherwise. free_bits, free_bits_per_example: nats a group; balance: see
    `balanced_rate`, while beta is below 1; at most one of the three. spectral: weight, a number or a schedule,
    of the spectral norms of the model's convolutions (pipeline.losses.spectral), beside nats of an image.
    unit: what the gradient is of, nats a "dimension" or nats an "image"; eps, l2 and clip_norm are beside that.

    Raises:
      ConfigError: an unknown key, or settings that exclude one another.
    """
    recipe = dict(recipe or {})
    check_arguments(elbo, recipe, where=where, given=("where",))
    return elbo(**recipe, where=where)


def elbo(
    *,
    beta: Number | Mapping[str, Any] = 1.0,
    capacity: Mapping[str, Any] | None = None,
    free_bits: Number = 0.0,
    free_bits_per_example: Number = 0.0,
    balance: bool = False,
    spectral: Number | Mapping[str, Any] = 0.0,
    unit: str = "dimension",
    where: str = "objective",
) -> Objective:
    """`create` with the recipe's keys as arguments."""
    if (free_bits > 0) + (free_bits_per_example > 0) + balance > 1:
        raise ConfigError(
            f"{where}: free_bits, free_bits_per_example and balance exclude one another; set one alone"
        )
    if unit not in UNITS:
        raise ConfigError(f"{where}.unit={unit!r}: {nearest(unit, UNITS)}")
    if min(free_bits, free_bits_per_example) < 0:
        raise ConfigError(f"{where}: free bits are nats a group, 0 or more")
    target, gamma = None, 0.0
    if capacity is not None:
        if free_bits > 0 or free_bits_per_example > 0 or balance or beta != 1.0:
            raise ConfigError(
                f"{where}.capacity replaces beta, free bits and balance; leave them at 1, 0 and False"
            )
        settings: dict[str, Any] = {"name": "linear"} | dict(capacity)
        if "gamma" not in settings:
            raise ConfigError(
                f"{where}.capacity.gamma is missing: the factor of |rate - C|, 1000 in 1804.03599"
            )
        gamma = settings.pop("gamma")
        target = schedules.create(settings, where=f"{where}.capacity")
    weight = schedules.create(beta, where=f"{where}.beta")
    penalty = schedules.create(spectral, where=f"{where}.spectral") if spectral else None
    return Objective(
        weight, target, gamma, free_bits, free_bits_per_example, balance, penalty, unit
    )
