"""The training step of a likelihood model: the gradient of its negative ELBO, and one update."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pipeline.core import parameters
from pipeline.core.modalities import of_batch
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Batch, Latent, Outputs
from pipeline.losses import spectral
from pipeline.losses.objective import Losses, Objective
from pipeline.losses.term import num_values, weight_at
from pipeline.losses.terms.distortion import negative_log_likelihood
from pipeline.metrics.functions import codebook_usage
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.microbatches import accumulate, gather, key_of, masked_means
from pipeline.training.update import Update

NATS_TO_BITS = 1 / math.log(2)


@dataclasses.dataclass(frozen=True)
class ElboStep:
    """(state, batch, frozen) -> (next state, metrics): pure, to be compiled with the state donated.

    The loss is in nats per dimension of the example, or with objective.unit="image" in nats, summed
    over an example and averaged over the batch; with objective.spectral, norms of the weights are
    added. The noise of an example is a function of the seed, the step, the layer and the example's
    row in the batch.

    Metrics in bits per dimension: "loss" (what is minimized), "elbo" (the unweighted negative
    ELBO), "distortion", "rate", "kl" [l], the rate of each stochastic layer, and every term of the
    objective. For discrete layers the codebook metrics [l] of the batch's codes.

    Attributes:
      modeldef: the model.
      objective: the loss of each example.
      update: how a gradient changes the state.
      seed: the run's seed.
      grad_accum_steps: number of microbatches that are differentiated in turn.
      gather: sharding that gathers sharded parameters before they are used; None if they are whole.
      frozen: arrays of the objective's frozen networks, to be placed on devices and passed in.
    """

    modeldef: ModelDef
    objective: Objective
    update: Update
    seed: int
    grad_accum_steps: int = 1
    gather: jax.sharding.Sharding | None = None
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def log_names(self) -> list[str]:
        """Metrics of the losses, in the order in which a value that is not finite shows up."""
        return self.objective.log_names

    def variant(self, step: int) -> str:
        """Return which program a step takes; there is only one."""
        del step
        return "elbo"

    def program(self, variant: str) -> "ElboStep":
        """Return the step to compile for a variant."""
        del variant
        return self

    def console_summary(self, values: Mapping[str, Any]) -> str:
        """Return the metrics of a step that the console shows."""
        loss, elbo = float(values["loss"]), float(values["elbo"])
        return f"loss {loss:.4f} bits/dim" + (
            f" (elbo {elbo:.4f})" if abs(loss - elbo) > 5e-5 else ""
        )

    def __call__(
        self, state: TrainState, batch: Batch, frozen: Mapping[str, Array] | None = None
    ) -> tuple[TrainState, dict[str, Array]]:
        key = key_of(self.seed, state.step)
        whole = dataclasses.replace(state, params=gather(state.params, self.gather))

        def gradients_of(
            model_state: Arrays, batch: Batch, key: PRNGKeyArray
        ) -> tuple[Arrays, dict[str, Array], Arrays]:
            return self._gradients(whole, model_state, batch, frozen or {}, key)

        gradients, metrics, model_state = accumulate(
            gradients_of,
            state.model_state,
            batch,
            key,
            like=self.update.trainable.split(whole.params)[0],
            steps=self.grad_accum_steps,
        )
        state, report = self.update(state, metrics["loss"], gradients, model_state)
        return state, metrics | report

    def _gradients(
        self,
        state: TrainState,
        model_state: Arrays,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[Arrays, dict[str, Array], Arrays]:
        """Return the gradients, metrics, and the model's other variables."""

        trained, fixed = self.update.trainable.split(state.params)

        def loss_of(trained: Arrays) -> tuple[Array, tuple[dict[str, Array], Arrays]]:
            value, (metrics, after, _) = self._loss(
                trained | fixed, model_state, state, batch, frozen, key
            )
            return value, (metrics, after)

        gradients, (metrics, after) = jax.grad(loss_of, has_aux=True)(trained)
        return gradients, metrics, after

    def _loss(
        self,
        params: Arrays,
        model_state: Arrays,
        before: TrainState,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[Array, tuple[dict[str, Array], Arrays, tuple[Latent, ...]]]:
        """Return the loss, and (metrics, the model's other variables, the latents).

        Args:
          model_state: the model's other variables, which earlier microbatches may have changed.
          before: the state before the step.
        """
        step = before.step
        model = self.update.trainable.held(self.modeldef.merge(params, model_state))
        inputs = {name: batch[name] for name in (of_batch(batch).name, "label")} | {"step": step}
        outputs = model(inputs, key=key, train=True)
        losses = self.objective(outputs, batch, step, params, frozen)
        metrics = _bits(losses, outputs, batch)
        metrics |= codebook_usage.of_layers(
            codebook_usage.count_layers(outputs.latents, batch["mask"])
        )
        dims, divisor = num_values(batch), self.objective.divisor(batch)
        value = masked_mean(losses.total, batch["mask"]) / divisor
        after = model_state | parameters.split(model)[2]
        if self.objective.spectral is not None:
            # From the directions before the step, so that every microbatch adds the same norms.
            norms, directions = spectral.penalty(model, before.model_state, first=step == 0)
            weight = weight_at(self.objective.spectral, step)
            metrics |= {"spectral_weight": jnp.asarray(weight), "spectral_norms": norms}
            value = value + weight * norms / divisor
            after |= directions
        metrics["loss"] = value * (NATS_TO_BITS * divisor / dims)
        return value, (metrics, after, outputs.latents)


def _bits(losses: Losses, outputs: Outputs, batch: Batch) -> dict[str, Array]:
    """Return the metrics of the ELBO and of all terms, in bits per dimension."""
    mask, dims = batch["mask"], num_values(batch)
    distortion = losses.values.get("distortion")
    if distortion is None:
        distortion = negative_log_likelihood(outputs, batch)
    rates = layer_rates(outputs.latents)
    rate = rates.sum(axis=-1)
    bound = {"elbo": distortion + rate, "distortion": distortion, "rate": rate, "kl": rates}
    nats = masked_means(bound, mask)
    metrics = {
        name: mean * NATS_TO_BITS if losses.logged[name].ndim else mean
        for name, mean in masked_means(losses.logged, mask).items()
    }
    return metrics | {name: mean * (NATS_TO_BITS / dims) for name, mean in nats.items()}
