"""The training step of the importance-weighted bound (IWAE, arXiv 1509.00519, eq. 8).

The encoder's gradient is the bound's own, or the doubly reparameterized one of DReG (arXiv
1810.04152, eq. 8), which has the same mean and whose signal-to-noise ratio grows with the number of
samples, where the other's falls.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from pipeline import priors
from pipeline.core import labels
from pipeline.core.errors import ConfigError
from pipeline.core.modalities import of_batch
from pipeline.core.parameters import Arrays
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Batch, Latent, Outputs, examples_of
from pipeline.losses.term import num_values
from pipeline.losses.terms.distortion import negative_log_likelihood
from pipeline.metrics.functions.importance import log_weight
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.elbo import NATS_TO_BITS, ElboStep
from pipeline.training.steps.microbatches import masked_means

GRADIENTS = ("reparameterized", "doubly_reparameterized")


@dataclasses.dataclass(frozen=True)
class ImportanceConfig:
    """Settings of training on the importance-weighted bound.

    Attributes:
      num_samples: K of the bound; with 0 the run trains on the ELBO.
      gradient: the encoder's: "reparameterized" (IWAE) or "doubly_reparameterized" (DReG).
    """

    num_samples: int = 0
    gradient: str = "doubly_reparameterized"


@dataclasses.dataclass(frozen=True)
class ImportanceWeightedStep(ElboStep):
    """The ElboStep whose loss is -log mean_k p(x, z_k) / q(z_k | x).

    An image is encoded once and decoded K times, in one program, whose activations take the memory
    of K images. Sample k of an example has the noise of the step's key folded with k. The model is
    run as in evaluation: it has no dropout and no running statistics.

    Metrics in bits per dimension: "loss", the bound; "elbo", "distortion", "rate" and "kl" [l], as
    ElboStep has them and averaged over the samples. "effective_samples" is 1 / sum_k w_k^2 of the
    normalized weights, from 1 to K.
    """

    importance: ImportanceConfig = ImportanceConfig()

    def _gradients(
        self,
        state: TrainState,
        model_state: Arrays,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[Arrays, dict[str, Array], Arrays]:
        """Return the gradients, metrics, and the model's other variables."""
        del frozen  # the terms of the bound have none
        mask, divisor = batch["mask"], self.objective.divisor(batch)
        # The samples of an example are neighbours, so that each device keeps its own examples.
        name, x = of_batch(batch).name, examples_of(batch)
        examples = jnp.repeat(x, self.importance.num_samples, axis=0)
        condition = labels.of_batch(self.modeldef.skeleton(), batch)
        repeated = {
            name: jnp.repeat(each, self.importance.num_samples, axis=0)
            for name, each in condition.items()
        }

        trained, fixed = self.update.trainable.split(state.params)

        def encode(trained: Arrays) -> tuple[Latent, ...]:
            model = self.modeldef.merge(trained | fixed, model_state)
            draw = jax.vmap(lambda key: model.encode(x, key=key, **condition), out_axes=1)
            latents = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), draw(self._keys(key)))
            return _without_prior_gradient(latents)

        def loss_of(
            trained: Arrays, latents: tuple[Latent, ...]
        ) -> tuple[Array, tuple[Array, dict[str, Array]]]:
            model = self.modeldef.merge(trained | fixed, model_state)
            latents = _with_prior(model, self._stopped(latents))
            decoded = model.decode([latent.z for latent in latents], **repeated)
            outputs = Outputs(decoded, latents)
            log_w = self._by_example(log_weight(outputs, examples))
            parts = jax.tree.map(self._by_example, _parts(outputs, {name: examples}))
            return -masked_mean(log_mean_exp(log_w), mask) / divisor, (log_w, parts)

        latents, pull = jax.vjp(encode, trained)
        self._check(latents)
        (loss, (log_w, parts)), (gradients, cotangents) = jax.value_and_grad(
            loss_of, (0, 1), has_aux=True
        )(trained, latents)
        weights = jax.nn.softmax(log_w, axis=1)
        (of_encoder,) = pull(self._weighted(cotangents, weights))
        dims, means = num_values(batch), {name: part.mean(axis=1) for name, part in parts.items()}
        metrics = {
            name: mean * (NATS_TO_BITS / dims) for name, mean in masked_means(means, mask).items()
        }
        metrics["loss"] = loss * (NATS_TO_BITS * divisor / dims)
        metrics["effective_samples"] = masked_mean(1 / jnp.square(weights).sum(axis=1), mask)
        return jax.tree.map(jnp.add, gradients, of_encoder), metrics, model_state

    def _by_example(self, x: Float[Array, "bk ..."]) -> Float[Array, "b k ..."]:
        return x.reshape(-1, self.importance.num_samples, *x.shape[1:])

    @property
    def _doubly(self) -> bool:
        return self.importance.gradient == "doubly_reparameterized"

    def _keys(self, key: PRNGKeyArray) -> Shaped[Array, " k"]:
        samples = jnp.arange(self.importance.num_samples)
        return jax.vmap(lambda sample: jax.random.fold_in(key, sample))(samples)

    def _check(self, latents: tuple[Latent, ...]) -> None:
        where = "objective.importance"
        if self.modeldef.other_names:
            raise ConfigError(
                f"{where}: this model has variables that training changes, such as "
                f"{self.modeldef.other_names[0]}, and the bound is for models without"
            )
        if any(latent.mean is None for latent in latents):
            raise ConfigError(f"{where} is for Gaussian latents, which this model has not")
        if self._doubly and (
            len(latents) > 1 or any(latent.log_q is not None for latent in latents)
        ):
            raise ConfigError(
                f"{where}.gradient='doubly_reparameterized' is for one layer of latents without a "
                "flow; use 'reparameterized'"
            )

    def _stopped(self, latents: tuple[Latent, ...]) -> tuple[Latent, ...]:
        """Return the latents; for DReG without the direct gradient of the posterior's density."""
        if not self._doubly:
            return latents
        stop = jax.lax.stop_gradient
        return tuple(
            dataclasses.replace(latent, mean=stop(latent.mean), logvar=stop(latent.logvar))
            for latent in latents
        )

    def _weighted(
        self, cotangents: tuple[Latent, ...], weights: Float[Array, "b k"]
    ) -> tuple[Latent, ...]:
        """Return the latents' cotangents; for DReG weighted once more, so that weights are squared.

        The bound's gradient by z_k has the factor w_k already.
        """
        if not self._doubly:
            return cotangents
        return tuple(
            dataclasses.replace(
                latent, z=latent.z * weights.reshape(-1, *[1] * (latent.z.ndim - 1))
            )
            for latent in cotangents
        )


def _without_prior_gradient(latents: tuple[Latent, ...]) -> tuple[Latent, ...]:
    """Return latents whose log_p has no gradient, because `_with_prior` computes it again."""
    stop = jax.lax.stop_gradient
    return tuple(
        latent
        if latent.log_p is None
        else dataclasses.replace(latent, kl=stop(latent.kl), log_p=stop(latent.log_p))
        for latent in latents
    )


def _with_prior(model: Any, latents: tuple[Latent, ...]) -> tuple[Latent, ...]:
    """Return latents with log p(z) as a function of z and of the prior's parameters.

    The parameters of a prior are trained like the decoder's: DReG weighs only what reaches the
    encoder through z once more. VampPrior's encoder counts as both.
    """
    # A model whose latents have no log_p need not have a prior.
    return priors.evaluated(getattr(model, "prior", None), latents)


def log_mean_exp(log_weights: Float[Array, "b k"]) -> Float[Array, " b"]:
    """Return log mean_k exp(w_k) of each example."""
    return jax.nn.logsumexp(log_weights, axis=1) - math.log(log_weights.shape[1])


def _parts(outputs: Outputs, batch: Batch) -> dict[str, Array]:
    """Return the negative ELBO of one sample of each example and its parts, in nats."""
    distortion, rates = negative_log_likelihood(outputs, batch), layer_rates(outputs.latents)
    rate = rates.sum(axis=-1)
    return {"elbo": distortion + rate, "distortion": distortion, "rate": rate, "kl": rates}
