"""The training step of a likelihood model: one batch, the gradient of its negative ELBO, one update."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pipeline.backend import target
from pipeline.core import parameters
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Batch
from pipeline.losses import spectral
from pipeline.losses.elbo import Objective
from pipeline.metrics.functions import codebook_usage
from pipeline.training.state.train_state import TrainState
from pipeline.training.update import Update

NATS_TO_BITS = 1 / math.log(2)


@dataclasses.dataclass(frozen=True)
class ElboStep:
    """(state, batch) -> (next state, metrics): pure, to be compiled once with the state donated.

    The loss that is differentiated is in nats per dimension of the image, or with objective.unit="image" in nats,
    summed over an example and averaged over the batch; with objective.spectral, norms of the weights come on top.
    Metrics in bits per dimension: "loss" (what is minimised), "elbo" (the unweighted negative ELBO), "distortion",
    "rate", and "kl" [l], the rate of each stochastic layer; "penalty" of a model that has one. Of discrete layers
    codebook_perplexity and codebook_used [l], of the batch's codes. All noise comes from fold_in(seed, step).

    `gather` is a sharding that brings split weights together before they are used, so that devices share out the
    batch and nothing else. Left alone, XLA lets some kernels' split run on into the activations, and reshuffles those.

    `grad_accum_steps` parts of the batch are differentiated one after the other, each with noise of its own, and
    their gradients averaged: the memory of a part, the gradient of the whole.
    """

    modeldef: ModelDef
    objective: Objective
    update: Update
    seed: int
    grad_accum_steps: int = 1
    gather: jax.sharding.Sharding | None = None

    # What every step has: arrays to be passed in as its third argument, or None where it takes but two.
    frozen = None

    def variant(self, step: int) -> str:
        """Which program the run's step `step` takes: there is one."""
        del step
        return "elbo"

    def program(self, variant: str) -> "ElboStep":
        """The step to compile for a variant."""
        del variant
        return self

    def headline(self, values: Mapping[str, Any]) -> str:
        """What a person sees of a step's metrics."""
        loss, elbo = float(values["loss"]), float(values["elbo"])
        return f"loss {loss:.4f} bits/dim" + (
            f" (elbo {elbo:.4f})" if abs(loss - elbo) > 5e-5 else ""
        )

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(self.seed), state.step)
        whole = state
        if self.gather is not None:
            whole = dataclasses.replace(
                state, params=jax.lax.with_sharding_constraint(state.params, self.gather)
            )
        if self.grad_accum_steps == 1:
            gradients, metrics, model_state = self._gradients(whole, state.model_state, batch, key)
        else:
            gradients, metrics, model_state = self._accumulated_gradients(whole, batch, key)
        state, report = self.update(state, metrics["loss"], gradients, model_state)
        return state, metrics | report

    def _gradients(
        self, state: TrainState, model_state: Arrays, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Arrays, dict[str, Array], Arrays]:
        dims = math.prod(batch["image"].shape[1:])

        def loss_of(params: Arrays) -> tuple[Array, tuple[dict[str, Array], Arrays]]:
            model = self.modeldef.merge(params, model_state)
            seen = {"image": batch["image"], "label": batch["label"], "step": state.step}
            outputs = model(seen, key=key, train=True)
            loss, terms = self.objective(outputs, batch, state.step)
            mask = batch["mask"]
            bits = {
                "elbo": masked_mean(terms["distortion"] + terms["rate"], mask),
                "distortion": masked_mean(terms["distortion"], mask),
                "rate": masked_mean(terms["rate"], mask),
                "kl": jax.vmap(masked_mean, in_axes=(1, None))(layer_rates(outputs.latents), mask),
            }
            if "penalty" in terms:
                bits["penalty"] = masked_mean(terms["penalty"], mask)
            metrics = jax.tree.map(lambda nats: nats * (NATS_TO_BITS / dims), bits)
            metrics |= {name: value for name, value in terms.items() if value.ndim == 0}
            metrics |= codebook_usage.of_layers(codebook_usage.count_layers(outputs.latents, mask))
            unit = dims if self.objective.unit == "dimension" else 1
            value = masked_mean(loss, mask) / unit
            after = model_state | parameters.split(model)[2]
            if self.objective.spectral is not None:
                norms, directions = spectral.penalty(model, model_state, first=state.step == 0)
                metrics |= {
                    "spectral_weight": self.objective.spectral(state.step),
                    "spectral_norms": norms,
                }
                value = value + metrics["spectral_weight"] * norms / unit
                after |= directions
            metrics["loss"] = value * (NATS_TO_BITS * unit / dims)
            return value, (metrics, after)

        gradients, (metrics, model_state) = jax.grad(loss_of, has_aux=True)(state.params)
        return gradients, metrics, model_state

    def _accumulated_gradients(
        self, state: TrainState, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Arrays, dict[str, Array], Arrays]:
        # Part i takes every grad_accum_steps-th row, so that each device cuts the rows that it holds.
        parts = jax.tree.map(
            lambda rows: jnp.moveaxis(
                rows.reshape(-1, self.grad_accum_steps, *rows.shape[1:]), 1, 0
            ),
            batch,
        )

        def add(carry, part):
            total, model_state, index = carry
            gradients, metrics, model_state = self._gradients(
                state, model_state, part, jax.random.fold_in(key, index)
            )
            return (jax.tree.map(jnp.add, total, gradients), model_state, index + 1), metrics

        zero = jax.tree.map(jnp.zeros_like, state.params)
        # XLA runs convolutions inside a loop on one thread on the CPU: unrolled there.
        unroll = target.backend() == "cpu"
        start = (zero, state.model_state, jnp.zeros((), jnp.int32))
        (total, model_state, _), metrics = jax.lax.scan(
            add, start, parts, unroll=self.grad_accum_steps if unroll else 1
        )
        mean = jax.tree.map(lambda values: values.mean(axis=0), metrics)
        return jax.tree.map(lambda g: g / self.grad_accum_steps, total), mean, model_state
