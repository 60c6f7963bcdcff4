"""The training step of a codec with a discriminator: one batch, one update of each, in one compiled program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend import target
from pipeline.core import parameters, pixels
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.core.reduce import masked_mean
from pipeline.core.types import Batch, pixels_of
from pipeline.losses import adversarial
from pipeline.losses.codec import CodecObjective
from pipeline.training.state.train_state import TrainState
from pipeline.training.update import Update

# Running means of the discriminator's logits, for LeCam, among its other variables.
LECAM = {"lecam.real": 0.0, "lecam.fake": 0.0}


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """How generator and discriminator play.

    Args:
      loss: "hinge" or "non_saturating".
      weight: of the generator's loss; with `adaptive` it comes on top of the ratio of gradients at the last layer,
        ||grad nll|| / (||grad g|| + eps) and at most max_weight.
      start: the run's step from which the discriminator exists; before it, it costs nothing.
      warmup_steps: over so many of the discriminator's own updates, the generator's weight grows from 0 along a line.
      r1: gamma of the penalty on the gradient at real examples, taken every `r1_every` steps, so many times as heavy.
      lecam: weight of LeCam's regulariser, whose running means decay by `lecam_decay`.
    """

    loss: str = "hinge"
    weight: float | int = 0.5
    adaptive: bool = True
    max_weight: float | int = 1e4
    eps: float | int = 1e-4
    start: int = 0
    warmup_steps: int = 0
    r1: float | int = 0.0
    r1_every: int = 16
    lecam: float | int = 0.0
    lecam_decay: float | int = 0.999


@dataclasses.dataclass(frozen=True)
class AdversarialStep:
    """(state, batch, frozen) -> (next state, metrics): pure; each `variant` is compiled once, with the state donated.

    The codec's loss is objective + weight * g, summed over an example, averaged over the batch, and divided by the
    number of values of an example: gradients and norms do not depend on resolution. The discriminator learns from the
    same batch, and what the codec made of it before this update. A gradient of either that is not finite leaves both
    as they were; one that is too large for its optimiser's skip_norm, that one.

    Metrics: "loss", what the codec minimises but for the generator's term, whose level means nothing; the objective's
    terms (a dimension, or an image); and with a discriminator "generator" and "discriminator", their losses,
    "adversarial_weight", what the former was multiplied by, "real_logits" and "fake_logits", "r1", "lecam".

    All noise comes from fold_in(seed, step). `gather` and `grad_accum_steps` are those of pipeline.training.steps.elbo; the
    adaptive weight is that of each part of a batch.

    Attributes:
      layer: name of the parameter whose gradients are compared for the adaptive weight.
      frozen: arrays of the objective's perceptual network, to be placed and passed in.
      active, penalised: whether this program has the discriminator, and its R1 penalty; see `variant`.
    """

    modeldef: ModelDef
    objective: CodecObjective
    update: Update
    seed: int
    grad_accum_steps: int = 1
    gather: jax.sharding.Sharding | None = None
    discriminator: ModelDef | None = None
    discriminator_update: Update | None = None
    gan: GanConfig = GanConfig()
    layer: str = ""
    frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)
    active: bool = False
    penalised: bool = False

    def variant(self, step: int) -> str:
        """Which program the run's step `step`, from 1 on, takes: before game.start, after it, and with R1."""
        gan = self.gan
        if self.discriminator is None or gan.weight == 0 or step <= gan.start:
            return "generator_only"
        return "adversarial_r1" if gan.r1 > 0 and (step - 1) % gan.r1_every == 0 else "adversarial"

    def program(self, variant: str) -> "AdversarialStep":
        """The step to compile for a variant."""
        return dataclasses.replace(
            self, active=variant != "generator_only", penalised=variant == "adversarial_r1"
        )

    def headline(self, values: Mapping[str, Any]) -> str:
        """What a person sees of a step's metrics."""
        parts = [f"loss {float(values['loss']):.4f}"]
        shown = ["reconstruction", getattr(self.objective.perceptual, "shown", ""), "discriminator"]
        parts += [f"{name} {float(values[name]):.4f}" for name in shown if name in values]
        if "real_logits" in values:
            parts.append(
                f"logits {float(values['real_logits']):+.2f} {float(values['fake_logits']):+.2f}"
            )
        return "  ".join(parts)

    def __call__(
        self, state: TrainState, batch: Batch, frozen: Mapping[str, Array]
    ) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(self.seed), state.step)
        gradients, discriminator_gradients, metrics, model_state = self._whole_batch(
            self._gathered(state), batch, frozen, key
        )
        # A copy of the logits' means is kept with the discriminator, whatever the parts of the batch were.
        all_finite = jnp.isfinite(metrics["loss"])
        if self.active:
            all_finite &= (
                jnp.isfinite(metrics["discriminator"])
                & _finite(discriminator_gradients)
                & _finite(gradients)
            )
        before = state.discriminator
        state, report = self.update(
            state, metrics["loss"], gradients, model_state, all_finite=all_finite
        )
        metrics |= report
        if self.active:
            assert self.discriminator_update is not None
            discriminator_state = self._means(before.model_state, metrics)
            loss = metrics["discriminator"]
            discriminator, report = self.discriminator_update(
                before, loss, discriminator_gradients, discriminator_state, all_finite=all_finite
            )
            state = dataclasses.replace(state, discriminator=discriminator)
            names = ("gradient_norm", "learning_rate", "skipped")
            metrics |= {f"discriminator_{name}": report[name] for name in names}
        return state, metrics

    def _gathered(self, state: TrainState) -> TrainState:
        if self.gather is None:
            return state
        discriminator = state.discriminator
        if discriminator is not None and self.active:
            discriminator = dataclasses.replace(
                discriminator,
                params=jax.lax.with_sharding_constraint(discriminator.params, self.gather),
            )
        params = jax.lax.with_sharding_constraint(state.params, self.gather)
        return dataclasses.replace(state, params=params, discriminator=discriminator)

    def _means(self, model_state: Arrays, metrics: Mapping[str, Array]) -> Arrays:
        """The discriminator's other variables, with the running means of its logits moved on."""
        if not self.gan.lecam:
            return model_state
        decay = self.gan.lecam_decay
        means = {f"lecam.{kind}": metrics[f"{kind}_logits"] for kind in ("real", "fake")}
        return model_state | {
            name: model_state[name] * decay + mean * (1 - decay) for name, mean in means.items()
        }

    def _whole_batch(
        self, state: TrainState, batch: Batch, frozen: Mapping[str, Array], key: PRNGKeyArray
    ) -> Any:
        """Gradients of both, metrics, the model's other variables; from part after part of the batch."""
        if self.grad_accum_steps == 1:
            return self._gradients(state, state.model_state, batch, frozen, key)
        # Part i takes every grad_accum_steps-th row, so that each device cuts the rows that it holds.
        parts = jax.tree.map(
            lambda rows: jnp.moveaxis(
                rows.reshape(-1, self.grad_accum_steps, *rows.shape[1:]), 1, 0
            ),
            batch,
        )

        def add(carry: Any, part: Batch) -> Any:
            total, model_state, index = carry
            found = self._gradients(
                state, model_state, part, frozen, jax.random.fold_in(key, index)
            )
            return (jax.tree.map(jnp.add, total, found[:2]), found[3], index + 1), found[2]

        discriminator = state.discriminator.params if self.active else {}
        zero = jax.tree.map(jnp.zeros_like, (state.params, discriminator))
        # XLA runs convolutions inside a loop on one thread on the CPU: unrolled there.
        unroll = self.grad_accum_steps if target.backend() == "cpu" else 1
        start = (zero, state.model_state, jnp.zeros((), jnp.int32))
        (total, model_state, _), metrics = jax.lax.scan(add, start, parts, unroll=unroll)
        gradients, discriminator_gradients = jax.tree.map(
            lambda g: g / self.grad_accum_steps, total
        )
        return (
            gradients,
            discriminator_gradients,
            jax.tree.map(lambda values: values.mean(axis=0), metrics),
            model_state,
        )

    def _gradients(
        self,
        state: TrainState,
        model_state: Arrays,
        batch: Batch,
        frozen: Mapping[str, Array],
        key: PRNGKeyArray,
    ) -> tuple[Arrays, Arrays, dict[str, Array], Arrays]:
        mask = batch["mask"]
        unit = self.objective.unit(pixels_of(batch).shape)
        inputs = {name: batch[name] for name in ("image", "video", "label") if name in batch}

        def forward(params: Arrays) -> tuple[Any, Arrays]:
            model = self.modeldef.merge(params, model_state)
            outputs = model(inputs, key=key, train=True)
            own = {name: params[name] for name in self.objective.params}
            return (outputs, own), parameters.split(model)[2]

        (outputs, own), pull, model_state = jax.vjp(forward, state.params, has_aux=True)

        def losses(outputs: Any, own: Arrays) -> tuple[tuple[Array, Array], dict[str, Array]]:
            terms = self.objective(outputs, batch, state.step, own, frozen)
            return (masked_mean(terms.nll, mask), masked_mean(terms.rest, mask)), _means(
                terms.shown, mask
            )

        (nll, rest), pull_losses, metrics = jax.vjp(losses, outputs, own, has_aux=True)
        one, zero = jnp.ones_like(nll), jnp.zeros_like(nll)
        metrics["loss"] = (nll + rest) / unit
        cotangent = pull_losses((one, one))
        discriminator_gradients: Arrays = {}
        if self.active:
            fake = outputs.recon.mean().astype(jnp.float32)
            generator, of_fake = jax.value_and_grad(self._generator)(
                fake, state.discriminator, mask
            )
            _, pull_mean = jax.vjp(lambda o: o.recon.mean().astype(jnp.float32), outputs)
            (of_outputs,) = pull_mean(of_fake)
            of_generator = (of_outputs, jax.tree.map(jnp.zeros_like, own))
            weight = self._warm(state.discriminator) * self.gan.weight
            if self.gan.adaptive:
                # XLA drops all of these two passes but what leads to this one layer.
                nll_gradient = pull(pull_losses((one, zero)))[0][self.layer]
                g_gradient = pull(of_generator)[0][self.layer]
                limits = dict(eps=self.gan.eps, highest=self.gan.max_weight)
                weight = weight * adversarial.adaptive_weight(nll_gradient, g_gradient, **limits)
            cotangent = jax.tree.map(lambda a, b: _add(a, b, weight), cotangent, of_generator)
            metrics |= {"generator": generator, "adversarial_weight": weight}
            real = pixels.to_float(pixels_of(batch))
            discriminator_gradients, report = self._discriminator_gradients(
                state.discriminator, real, jax.lax.stop_gradient(fake), mask
            )
            metrics |= report
        (gradients,) = pull(jax.tree.map(lambda c: _scaled(c, 1 / unit), cotangent))
        return gradients, discriminator_gradients, metrics, model_state

    def _warm(self, discriminator: TrainState) -> Float[Array, ""]:
        """0 .. 1: how far the generator's weight has grown."""
        return jnp.minimum(1.0, (discriminator.step + 1) / max(1, self.gan.warmup_steps))

    def _discriminate(self, params: Arrays, model_state: Arrays, x: Array) -> Array:
        assert self.discriminator is not None
        return self.discriminator.merge(params, model_state)(x)

    def _generator(self, fake: Array, discriminator: TrainState, mask: Array) -> Float[Array, ""]:
        logits = self._discriminate(discriminator.params, discriminator.model_state, fake)
        return masked_mean(adversarial.GENERATOR[self.gan.loss](logits), mask)

    def _discriminator_gradients(
        self, discriminator: TrainState, real: Array, fake: Array, mask: Array
    ) -> tuple[Arrays, dict[str, Array]]:
        gan = self.gan

        def loss_of(params: Arrays) -> tuple[Array, dict[str, Array]]:
            logits = [
                self._discriminate(params, discriminator.model_state, x) for x in (real, fake)
            ]
            loss = masked_mean(adversarial.DISCRIMINATOR[gan.loss](*logits), mask)
            report = {"discriminator": loss}
            report |= {
                f"{kind}_logits": _mean(each, mask) for kind, each in zip(("real", "fake"), logits)
            }
            if gan.lecam:
                means = [discriminator.model_state[f"lecam.{kind}"] for kind in ("real", "fake")]
                report["lecam"] = masked_mean(adversarial.lecam(*logits, *means), mask)
                loss = loss + gan.lecam * report["lecam"]
            if self.penalised:
                penalty = adversarial.r1(
                    lambda x: self._discriminate(params, discriminator.model_state, x), real
                )
                report["r1"] = masked_mean(penalty, mask)
                loss = loss + gan.r1_every * 0.5 * gan.r1 * report["r1"]
            return loss, report

        return jax.grad(loss_of, has_aux=True)(discriminator.params)


def _means(values: Mapping[str, Array], mask: Array) -> dict[str, Array]:
    """Of each named value over the batch; of [b l], one for each l."""
    return {
        name: masked_mean(value, mask)
        if value.ndim == 1
        else jax.vmap(masked_mean, (1, None))(value, mask)
        for name, value in values.items()
    }


def _mean(logits: Array, mask: Array) -> Float[Array, ""]:
    return masked_mean(logits.reshape(logits.shape[0], -1).mean(axis=-1), mask)


def _finite(gradients: Arrays) -> Array:
    norms = [jnp.square(gradient).sum() for gradient in gradients.values()]
    return jnp.isfinite(jnp.stack(norms)).all()


def _add(a: Array, b: Array, weight: Array) -> Array:
    return a if a.dtype == jax.dtypes.float0 else a + (weight * b).astype(a.dtype)


def _scaled(cotangent: Array, factor: float) -> Array:
    return cotangent if cotangent.dtype == jax.dtypes.float0 else cotangent * factor
