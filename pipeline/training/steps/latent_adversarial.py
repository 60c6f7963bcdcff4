"""The training step of a likelihood model whose latents a discriminator compares with a reference.

FactorVAE (arXiv 1802.05983) is one: its reference are the latents of the batch, each element
permuted, and its discriminator estimates the total correlation. In the adversarial autoencoder
(arXiv 1511.05644) the reference is the prior, and the encoder is trained to fool the discriminator.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.core.reduce import masked_mean
from pipeline.core.types import Batch, Latent
from pipeline.losses import latent_adversarial as losses
from pipeline.losses.term import Weight, num_values, weight_at
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.elbo import NATS_TO_BITS, ElboStep
from pipeline.training.steps.microbatches import accumulate, gather, key_of
from pipeline.training.update import Update

_REFERENCE = 1 << 20  # folded into the step's key; the model's layers have smaller numbers


@dataclasses.dataclass(frozen=True)
class LatentAdversarialConfig:
    """Settings of the discriminator's part in the encoder's loss.

    Attributes:
      weight: weight of the encoder's loss, in nats, next to the objective: a number or a schedule;
        the number 0 turns it off.
      reference: what the latents are compared with: "permuted" or "prior".
      loss: the encoder's: "density_ratio" or "fool".
    """

    weight: Weight = 0.0
    reference: str = "permuted"
    loss: str = "density_ratio"

    @property
    def is_on(self) -> bool:
        """Return whether there is a discriminator of latents."""
        return callable(self.weight) or self.weight > 0


@dataclasses.dataclass(frozen=True)
class LatentAdversarialStep(ElboStep):
    """The ElboStep with a term of a discriminator's logits, and one update of both in one program.

    Both learn from the same batch, and from the latents before this update. The paper takes the
    permuted latents from a second batch: the loss is a sum over both kinds, so that its mean over
    batches is the same. Neither kind passes the discriminator's gradient on to the encoder, and the
    encoder's term none to the discriminator. If a gradient or an array to be written of either is
    not finite, both stay unchanged.

    Metrics, besides ElboStep's: "log_ratio", the mean logit of the latents (the total correlation
    in nats, for permuted ones), "reference_log_ratio", that of the reference, and "discriminator",
    its cross-entropy, ln 2 if it knows nothing. "loss" includes the weighted term.

    Attributes:
      discriminator: the discriminator of latents [b d].
      discriminator_update: how a gradient changes it.
      adversary: the settings.
    """

    discriminator: ModelDef = dataclasses.field(kw_only=True)
    discriminator_update: Update = dataclasses.field(kw_only=True)
    adversary: LatentAdversarialConfig = dataclasses.field(kw_only=True)

    @property
    def log_names(self) -> list[str]:
        return [*super().log_names, "discriminator"]

    def console_summary(self, values: Mapping[str, Array]) -> str:
        names = ("log_ratio", "discriminator")
        parts = [f"{name} {float(values[name]):.4f}" for name in names]
        return "  ".join([super().console_summary(values), *parts])

    def __call__(
        self, state: TrainState, batch: Batch, frozen: Mapping[str, Array] | None = None
    ) -> tuple[TrainState, dict[str, Array]]:
        key = key_of(self.seed, state.step)
        whole = dataclasses.replace(
            state,
            params=gather(state.params, self.gather),
            discriminator=dataclasses.replace(
                state.discriminator, params=gather(state.discriminator.params, self.gather)
            ),
        )

        def gradients_of(
            model_state: Arrays, batch: Batch, key: PRNGKeyArray
        ) -> tuple[tuple[Arrays, Arrays], dict[str, Array], Arrays]:
            return self._both_gradients(whole, model_state, batch, frozen or {}, key)

        (gradients, of_discriminator), metrics, model_state = accumulate(
            gradients_of,
            state.model_state,
            batch,
            key,
            like=(self.update.trainable.split(whole.params)[0], whole.discriminator.params),
            steps=self.grad_accum_steps,
        )
        proposal = self.update.propose(state, metrics["loss"], gradients, model_state)
        before = state.discriminator
        other = self.discriminator_update.propose(
            before, metrics["discriminator"], of_discriminator, before.model_state
        )
        finite = proposal.finite & other.finite
        discriminator, more = self.discriminator_update.apply(before, other, finite=finite)
        state, report = self.update.apply(state, proposal, finite=finite)
        names = ("gradient_norm", "learning_rate", "skipped")
        report |= {f"discriminator_{name}": more[name] for name in names}
        return dataclasses.replace(state, discriminator=discriminator), metrics | report

    def _both_gradients(
        self,
        state: TrainState,
        model_state: Arrays,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[tuple[Arrays, Arrays], dict[str, Array], Arrays]:
        """Return the gradients of model and discriminator, metrics, and the other variables."""
        mask, dims, divisor = batch["mask"], num_values(batch), self.objective.divisor(batch)
        judge, weight = state.discriminator, weight_at(self.adversary.weight, state.step)
        trained, fixed = self.update.trainable.split(state.params)

        def loss_of(trained: Arrays) -> tuple[Array, tuple[Array, dict[str, Array], Arrays]]:
            value, (metrics, after, latents) = self._loss(
                trained | fixed, model_state, state, batch, frozen, key
            )
            z = _flat(latents)
            logits = self._judged(judge.params, judge.model_state, z)
            term = weight * masked_mean(losses.ENCODER[self.adversary.loss](logits), mask)
            metrics["loss"] = metrics["loss"] + term * (NATS_TO_BITS / dims)
            return value + term / divisor, (z, metrics, after)

        def loss_of_judge(params: Arrays, z: Array) -> tuple[Array, dict[str, Array]]:
            other_key = jax.random.fold_in(key, _REFERENCE)
            reference = losses.REFERENCES[self.adversary.reference](z, other_key)
            logits = [self._judged(params, judge.model_state, each) for each in (z, reference)]
            loss = masked_mean(losses.cross_entropy(*logits), mask)
            means = [masked_mean(each, mask) for each in logits]
            names = ("log_ratio", "reference_log_ratio")
            return loss, dict(zip(names, means, strict=True)) | {"discriminator": loss}

        gradients, (z, metrics, after) = jax.grad(loss_of, has_aux=True)(trained)
        of_judge, report = jax.grad(loss_of_judge, has_aux=True)(judge.params, z)
        return (gradients, of_judge), metrics | report, after

    def _judged(self, params: Arrays, model_state: Arrays, z: Array) -> Float[Array, " b"]:
        return self.discriminator.merge(params, model_state)(z)


def _flat(latents: tuple[Latent, ...]) -> Float[Array, "b d"]:
    """Return the sample of each example as one vector."""
    if any(latent.mean is None for latent in latents):
        raise ConfigError("objective.latent_adversarial is for Gaussian latents")
    return jnp.concatenate([x.z.reshape(len(x.z), -1) for x in latents], axis=1)
