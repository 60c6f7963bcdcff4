"""The training step of a codec with a discriminator: one update of each in one program."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core import parameters, pixels
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.core.reduce import masked_mean
from pipeline.core.types import Batch, Outputs, pixels_of
from pipeline.losses import adversarial
from pipeline.losses.objective import Objective
from pipeline.losses.taps import tapped
from pipeline.losses.teacher import LATENT, Teacher
from pipeline.losses.term import TARGET, recon_and_target
from pipeline.metrics.functions import codebook_usage
from pipeline.regularizers.base import Regularizers
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps import balance, discriminator_features
from pipeline.training.steps.discriminator_loss import discriminator_loss
from pipeline.training.steps.gan_config import GanConfig
from pipeline.training.steps.layer_outputs import with_layers
from pipeline.training.steps.microbatches import accumulate, gather, key_of, masked_means
from pipeline.training.update import Proposal, Update

# Running means of the discriminator's logits, for LeCam, among its other variables.
LECAM = {"lecam.real": 0.0, "lecam.fake": 0.0}


class _Gradients(NamedTuple):
    """Gradients of a batch or a microbatch.

    Attributes:
      codec: of the codec's loss; without the generator's term if that is kept apart.
      discriminator: of the discriminator's loss; empty if it is not trained.
      generator: of the generator's loss, summed over an example, if it is kept apart; else empty.
      nll_layer: of the objective's likelihood by the layer that the adaptive weight compares, in
        the same unit, or None.
    """

    codec: Arrays
    discriminator: Arrays
    generator: Arrays
    nll_layer: Array | None


@dataclasses.dataclass(frozen=True)
class AdversarialStep:
    """(state, batch, frozen) -> (next state, metrics): pure, to be compiled with the state donated.

    Each `variant` is compiled once. The codec's loss is objective + weight * g, summed over an
    example, averaged over the batch, and divided by the number of values of an example: gradients
    and norms do not depend on the resolution. The discriminator learns from the same batch, and
    from the codec's reconstructions before this update. If a gradient or an array to be written of
    either network is not finite, both stay unchanged; a gradient that is too large for its own
    skip_norm leaves its network unchanged. The noise of an example is a function of the seed, the
    step, the layer and the example's row in the batch.

    Metrics: "loss", what the codec minimizes except for the generator's term, whose level means
    nothing; the objective's terms per dimension; of discrete bottlenecks the codebook metrics of
    the batch's codes; and with a discriminator "generator" and
    "discriminator", their losses, "adversarial_weight", which multiplies the former, "real_logits",
    "fake_logits", "r1" and "lecam".

    Attributes:
      modeldef: the codec.
      objective: the codec's loss of each example, without the generator's.
      update: how a gradient changes the codec.
      seed: the run's seed.
      grad_accum_steps: number of microbatches that are differentiated in turn. With an adaptive
        weight, which needs the gradients of the whole batch, each is differentiated twice, and the
        generator's gradient takes the memory of the parameters once more.
      gather: sharding that gathers sharded parameters before they are used; None if they are whole.
      discriminator: the discriminator; None in a run without one.
      discriminator_update: how a gradient changes the discriminator.
      gan: settings of adversarial training.
      layer: name of the parameter whose gradients the adaptive weight compares.
      frozen: arrays of the objective's frozen networks and of the teacher, to be placed on devices
        and passed in.
      teacher: the codec that this one learns from, or None.
      regularizers: what is done to latents before they are decoded.
      active: whether this program trains the discriminator, see `variant`.
      penalized: whether this program applies the R1 penalty, see `variant`.
    """

    modeldef: ModelDef
    objective: Objective
    update: Update
    seed: int
    grad_accum_steps: int = 1
    gather: jax.sharding.Sharding | None = None
    discriminator: ModelDef | None = None
    discriminator_update: Update | None = None
    gan: GanConfig = dataclasses.field(default=GanConfig())
    layer: str = ""
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    teacher: Teacher | None = None
    regularizers: Regularizers = dataclasses.field(default=Regularizers())
    active: bool = False
    penalized: bool = False

    @property
    def log_names(self) -> list[str]:
        """Metrics of the losses, in the order in which a value that is not finite shows up."""
        return [*self.objective.log_names, "discriminator"]

    def variant(self, step: int) -> str:
        """Return which program a step of the run, from 1 on, takes.

        It is "generator_only" up to gan.start, then "adversarial", or "adversarial_r1" in a step
        with the R1 penalty; and after a slash what the regularizers choose for the step.
        """
        chosen = self.regularizers.variant(self.seed, step)
        return f"{self._phase(step)}/{chosen}" if chosen else self._phase(step)

    def _phase(self, step: int) -> str:
        gan = self.gan
        if self.discriminator is None or gan.weight == 0 or step <= gan.start:
            return "generator_only"
        return "adversarial_r1" if gan.r1 > 0 and (step - 1) % gan.r1_every == 0 else "adversarial"

    def program(self, variant: str) -> "AdversarialStep":
        """Return the step to compile for a variant."""
        phase, _, chosen = variant.partition("/")
        return dataclasses.replace(
            self,
            active=phase != "generator_only",
            penalized=phase == "adversarial_r1",
            regularizers=self.regularizers.program(chosen),
        )

    def console_summary(self, values: Mapping[str, Any]) -> str:
        """Return the metrics of a step that the console shows."""
        names = ["loss", *self.objective.likelihood_names, "discriminator"]
        parts = [f"{name} {float(values[name]):.4f}" for name in names if name in values]
        if "real_logits" in values:
            parts.append(
                f"logits {float(values['real_logits']):+.2f} {float(values['fake_logits']):+.2f}"
            )
        return "  ".join(parts)

    def __call__(
        self, state: TrainState, batch: Batch, frozen: Mapping[str, Array]
    ) -> tuple[TrainState, dict[str, Array]]:
        key = key_of(self.seed, state.step)
        whole = self._gathered(state)

        def gradients_of(
            model_state: Arrays, batch: Batch, key: PRNGKeyArray
        ) -> tuple[_Gradients, dict[str, Array], Arrays]:
            return self._gradients(whole, model_state, batch, frozen, key)

        trained, _ = self.update.trainable.split(whole.params)
        like = _Gradients(
            trained,
            whole.discriminator.params if self.active else {},
            trained if self._balances_later else {},
            whole.params[self.layer] if self._balances_later else None,
        )
        parts, metrics, model_state = accumulate(
            gradients_of, state.model_state, batch, key, like=like, steps=self.grad_accum_steps
        )
        gradients, discriminator_gradients = parts.codec, parts.discriminator
        if self._balances_later:
            weight, gradients = self._balanced(whole.discriminator, parts, batch)
            metrics["adversarial_weight"] = weight
        proposal = self.update.propose(state, metrics["loss"], gradients, model_state)
        if not self.active:
            state, report = self.update.apply(state, proposal, finite=proposal.finite)
            return state, metrics | report
        other = self._discriminator_proposal(state.discriminator, discriminator_gradients, metrics)
        finite = proposal.finite & other.finite
        discriminator, of_discriminator = self._discriminator_update.apply(
            state.discriminator, other, finite=finite
        )
        state, report = self.update.apply(state, proposal, finite=finite)
        names = ("gradient_norm", "learning_rate", "skipped")
        report |= {f"discriminator_{name}": of_discriminator[name] for name in names}
        return dataclasses.replace(state, discriminator=discriminator), metrics | report

    def _gathered(self, state: TrainState) -> TrainState:
        discriminator = state.discriminator
        if discriminator is not None and self.active:
            discriminator = dataclasses.replace(
                discriminator, params=gather(discriminator.params, self.gather)
            )
        params = gather(state.params, self.gather)
        return dataclasses.replace(state, params=params, discriminator=discriminator)

    @property
    def _discriminator_update(self) -> Update:
        assert self.discriminator_update is not None
        return self.discriminator_update

    def _discriminator_proposal(
        self, before: TrainState, gradients: Arrays, metrics: Mapping[str, Array]
    ) -> Proposal:
        model_state = before.model_state
        if self.gan.lecam:
            # Means over the whole batch, however many microbatches it had.
            decay = self.gan.lecam_decay
            means = {f"lecam.{kind}": metrics[f"{kind}_logits"] for kind in ("real", "fake")}
            model_state = model_state | {
                name: model_state[name] * decay + mean * (1 - decay) for name, mean in means.items()
            }
        return self._discriminator_update.propose(
            before, metrics["discriminator"], gradients, model_state
        )

    def _gradients(
        self,
        state: TrainState,
        model_state: Arrays,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[_Gradients, dict[str, Array], Arrays]:
        """Return the gradients, metrics, and the model's other variables."""
        mask, divisor = batch["mask"], self.objective.divisor(batch)
        names = ("image", "video", "label", "encoded")
        inputs = {name: batch[name] for name in names if name in batch}
        inputs["step"] = state.step
        of_teacher = self.teacher.student_layers if self.teacher is not None else ()
        taps = self.objective.layers + of_teacher
        if self.regularizers.changes_images:
            images = pixels.to_float(pixels_of(batch))
            batch = batch | {TARGET: self.regularizers.images(images, key)}
        if self.teacher is not None:
            batch = batch | self.teacher(batch, frozen)
            if self.teacher.decode_latents:
                inputs["latent"] = batch[LATENT]

        trained, fixed = self.update.trainable.split(state.params)

        def forward(trained: Arrays) -> tuple[Any, Arrays]:
            params = trained | fixed
            model = self.update.trainable.held(self.modeldef.merge(params, model_state))
            if self.regularizers.parts:
                inputs["regularize"] = lambda z: self.regularizers.latents(z, key, params)
            with tapped(model, taps) as features:
                outputs = model(inputs, key=key, train=True)
            if taps:
                outputs = with_layers(
                    outputs, features, of_terms=self.objective.layers, of_teacher=of_teacher
                )
            own = {name: params[name] for name in self.objective.params}
            fakes = self._decoded(model, outputs, inputs, key)
            return (outputs, own, fakes), parameters.split(model)[2]

        def losses_of(
            outputs: Outputs, own: Arrays, fakes: tuple[Array, ...]
        ) -> tuple[tuple[Array, Array, dict[Any, Array]], dict[str, Array]]:
            del fakes
            outputs = self._with_features(outputs, state.discriminator, batch)
            losses = self.objective(outputs, batch, state.step, own, frozen)
            balanced = {name: masked_mean(term, mask) for name, term in losses.balanced.items()}
            parts = masked_mean(losses.likelihood, mask), masked_mean(losses.regularizer, mask)
            return (*parts, balanced), masked_means(losses.logged, mask)

        found, pull, model_state = jax.vjp(forward, trained, has_aux=True)
        outputs, own, fakes = found
        (nll, rest, balanced), pull_losses, metrics = jax.vjp(losses_of, *found, has_aux=True)
        one, zero = jnp.ones_like(nll), jnp.zeros_like(nll)
        nothing = dict.fromkeys(balanced, zero)
        ratios = balance.weights(
            lambda share, others: pull(pull_losses((share * one, zero, others)))[0],
            self.objective.balance_weights(state.step),
        )
        metrics |= {f"{name}_balanced_weight": ratio for (_, name), ratio in ratios.items()}
        rest = sum((ratios[name] * term for name, term in balanced.items()), rest)
        metrics["loss"] = (nll + rest) / divisor
        metrics |= codebook_usage.of_layers(codebook_usage.count_layers(outputs.latents, mask))
        cotangent = pull_losses((one, one, ratios))
        discriminator_gradients: Arrays = {}
        generator_gradients, nll_layer = {}, None
        if self.active:
            of_generator, generator, fakes = self._generator_cotangent(
                outputs, own, fakes, state.discriminator, mask
            )
            metrics["generator"] = generator
            if self._balances_later:
                (generator_gradients,) = pull(of_generator)
                nll_layer = pull(pull_losses((one, zero, nothing)))[0][self.layer]
            else:
                weight = self._adversarial_weight(
                    state.discriminator,
                    pull,
                    lambda: pull_losses((one, zero, nothing)),
                    of_generator,
                )
                cotangent = jax.tree.map(lambda a, b: _add(a, b, weight), cotangent, of_generator)
                metrics["adversarial_weight"] = weight
            _, real = recon_and_target(outputs, batch)
            discriminator_gradients, report = self._discriminator_gradients(
                state.discriminator, real, jax.lax.stop_gradient(fakes), mask
            )
            metrics |= report
        (gradients,) = pull(jax.tree.map(lambda c: _scale(c, 1 / divisor), cotangent))
        parts = _Gradients(gradients, discriminator_gradients, generator_gradients, nll_layer)
        return parts, metrics, model_state

    def _decoded(
        self, model: Any, outputs: Outputs, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, "b ..."], ...]:
        """Return the fakes that are decoded apart; none, because they are the reconstructions."""
        del model, outputs, batch, key
        return ()

    def _with_features(self, outputs: Outputs, discriminator: Any, batch: Batch) -> Outputs:
        if self.discriminator is None or not discriminator_features.needs_features(self.objective):
            return outputs
        judge = self.discriminator.merge(discriminator.params, discriminator.model_state)
        return discriminator_features.with_features(outputs, judge, batch)

    @property
    def _balances_later(self) -> bool:
        """Return whether the adaptive weight is computed from the microbatches' mean gradients."""
        return self.active and self.gan.adaptive and self.grad_accum_steps > 1

    def _balanced(
        self, discriminator: TrainState, parts: _Gradients, batch: Batch
    ) -> tuple[Float[Array, ""], Arrays]:
        """Return the adaptive weight of the whole batch, and the codec's gradient with it."""
        weight = self._warmup(discriminator) * adversarial.adaptive_weight(
            parts.nll_layer,
            parts.generator[self.layer],
            eps=self.gan.eps,
            highest=self.gan.max_weight,
        )
        share = weight / self.objective.divisor(batch)
        return weight, jax.tree.map(lambda a, b: a + share * b, parts.codec, parts.generator)

    def _warmup(self, discriminator: TrainState) -> Float[Array, ""]:
        """Return the weight of the generator's loss before it is balanced."""
        warmup = jnp.minimum(1.0, (discriminator.step + 1) / max(1, self.gan.warmup_steps))
        return warmup * self.gan.weight

    def _generator_cotangent(
        self,
        outputs: Outputs,
        own: Arrays,
        decoded: tuple[Array, ...],
        discriminator: TrainState,
        mask: Array,
    ) -> tuple[Any, Float[Array, ""], tuple[Array, ...]]:
        """Return the generator loss's cotangent of what `forward` gives, the loss, and the fakes.

        The fakes are the reconstructions, or `decoded` if there are any.
        """

        def loss_of(fake: Array) -> Float[Array, ""]:
            logits = self._discriminate(discriminator.params, discriminator.model_state, fake)
            return masked_mean(adversarial.GENERATOR[self.gan.loss](logits), mask)

        recon, pull_mean = jax.vjp(lambda o: o.recon.mean().astype(jnp.float32), outputs)
        fakes = decoded or (recon,)
        losses, of_fakes = zip(*(jax.value_and_grad(loss_of)(fake) for fake in fakes))
        of_own = jax.tree.map(jnp.zeros_like, own)
        if not decoded:
            (of_outputs,) = pull_mean(of_fakes[0])
            return (of_outputs, of_own, ()), losses[0], fakes
        (of_outputs,) = pull_mean(jnp.zeros_like(recon))
        share = 1 / len(fakes)
        of_decoded = tuple(share * each for each in of_fakes)
        return (of_outputs, of_own, of_decoded), jnp.mean(jnp.stack(losses)), fakes

    def _adversarial_weight(
        self,
        discriminator: TrainState,
        pull: Callable[[Any], tuple[Arrays]],
        nll_cotangent: Callable[[], Any],
        generator_cotangent: Any,
    ) -> Float[Array, ""]:
        """Return the weight of the generator's loss, warmed up and, with `adaptive`, balanced."""
        weight = self._warmup(discriminator)
        if not self.gan.adaptive:
            return weight
        # XLA drops everything in these two passes except the path to this layer.
        nll_gradient = pull(nll_cotangent())[0][self.layer]
        generator_gradient = pull(generator_cotangent)[0][self.layer]
        return weight * adversarial.adaptive_weight(
            nll_gradient, generator_gradient, eps=self.gan.eps, highest=self.gan.max_weight
        )

    def _discriminate(self, params: Arrays, model_state: Arrays, x: Array) -> Array:
        assert self.discriminator is not None
        return self.discriminator.merge(params, model_state)(x)

    def _discriminator_gradients(
        self, discriminator: TrainState, real: Array, fakes: tuple[Array, ...], mask: Array
    ) -> tuple[Arrays, dict[str, Array]]:
        def loss_of(params: Arrays) -> tuple[Array, dict[str, Array]]:
            return discriminator_loss(
                lambda x: self._discriminate(params, discriminator.model_state, x),
                discriminator.model_state,
                self.gan,
                real,
                fakes,
                mask,
                penalized=self.penalized,
            )

        return jax.grad(loss_of, has_aux=True)(discriminator.params)


def _add(a: Array, b: Array, weight: Array) -> Array:
    return a if a.dtype == jax.dtypes.float0 else a + (weight * b).astype(a.dtype)


def _scale(cotangent: Array, factor: float) -> Array:
    return cotangent if cotangent.dtype == jax.dtypes.float0 else cotangent * factor
