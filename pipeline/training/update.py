"""The update of a state from a gradient: clip, skip or apply, and EMA, in one pass over arrays."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import Arrays
from pipeline.training.state.train_state import TrainState
from pipeline.training.state.trainable import ALL, Trainable


@dataclasses.dataclass(frozen=True)
class Update:
    """The rules by which a gradient changes the state.

    The gradient is clipped to a global norm of `clip_norm`. A step whose norm before clipping
    reaches `skip_norm`, or in which the loss, the norm or any array that would be written is not
    finite, changes only the counters: neither the parameters, nor the optimizer's state, nor the
    EMA, nor the model's other variables. VDVAE (arXiv 2011.10650) skips likewise, but its threshold
    can stall a run forever. Here, after `max_skips` large gradients in a row, clipped updates are
    applied until the norm is below the threshold again. A non-finite update is never applied. 0
    turns clip_norm or skip_norm off.

    The EMA's decay is `ema`, but at most (1 + n) / (10 + n) after n applied steps. Otherwise an
    average over ten thousand steps would consist of the initial weights for most of a short run.

    Arrays that are not `trainable` keep their values for the whole run: gradients, updates and the
    EMA are those of the others. Parameters whose names begin with one of `frozen`, such as
    "encoder", keep their values for a stage of a run, and their gradients count as 0.
    """

    optimizer: optax.GradientTransformation
    learning_rate: Callable[[Array], Array]
    ema: float | int
    clip_norm: float | int = 0.0
    skip_norm: float | int = 0.0
    max_skips: int = 100
    frozen: tuple[str, ...] = ()
    trainable: Trainable = ALL

    def __post_init__(self):
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema={self.ema} must be at least 0 and below 1")
        if min(self.clip_norm, self.skip_norm, self.max_skips) < 0:
            raise ConfigError("optimizer.clip_norm, skip_norm and max_skips are 0 or more")

    def __call__(
        self, state: TrainState, loss: Float[Array, ""], gradients: Arrays, model_state: Arrays
    ) -> tuple[TrainState, dict[str, Array]]:
        """Return the next state, and metrics to log.

        Args:
          loss: the differentiated loss.
          gradients: of the trainable parameters.
          model_state: the model's other variables after the step.
        """
        proposal = self.propose(state, loss, gradients, model_state)
        return self.apply(state, proposal, finite=proposal.finite)

    def propose(
        self, state: TrainState, loss: Float[Array, ""], gradients: Arrays, model_state: Arrays
    ) -> "Proposal":
        """Return what `apply` would write; the arguments are those of a call."""
        trained, _ = self.trainable.split(state.params)
        still = [name for name in self._frozen_among(state.params) if name in trained]
        _, fixed = self.trainable.split(state.model_state)
        model_state = model_state | fixed
        gradients = gradients | {name: jnp.zeros_like(gradients[name]) for name in still}
        layer_norms = jnp.stack([optax.tree.norm(layer) for layer in by_layer(gradients).values()])
        norm = jnp.linalg.norm(layer_norms)
        large = (norm >= self.skip_norm) if self.skip_norm else jnp.zeros((), bool)
        rate = self.learning_rate(state.step)
        shrink = jnp.minimum(1.0, self.clip_norm / (norm + 1e-6)) if self.clip_norm else 1.0
        gradients = jax.tree.map(lambda g: g * shrink, gradients)
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, trained)
        params = jax.tree.map(lambda p, u: p - rate * u, trained, updates)
        params |= {name: trained[name] for name in still}
        applied = (state.step - state.skipped).astype(jnp.float32)
        decay = jnp.minimum(self.ema, (1 + applied) / (10 + applied))
        # The state of a discriminator has no EMA.
        ema = {
            name: state.ema[name] * decay + params[name] * (1 - decay) for name in sorted(state.ema)
        }
        new: Any = dict(params=params, ema=ema, model_state=model_state, opt_state=opt_state)
        report = {
            "gradient_norm": norm,
            "learning_rate": rate,
            "layer_gradient_norms": layer_norms,
        }
        finite = jnp.isfinite(norm) & jnp.isfinite(loss) & all_finite(new)
        return Proposal(new, large, finite, report)

    def _frozen_among(self, params: Arrays) -> list[str]:
        """Return the names of the parameters that keep their values.

        Raises:
          ConfigError: one of `frozen` is the beginning of no name.
        """
        for start in self.frozen:
            if not any(_belongs(name, start) for name in params):
                parts = sorted({name.split(".")[0] for name in params})
                raise ConfigError(
                    f"optimizer.frozen: no parameter is in {start!r}: {nearest(start, parts)}"
                )
        return [name for name in params if any(_belongs(name, start) for start in self.frozen)]

    def apply(
        self, state: TrainState, proposal: "Proposal", *, finite: Bool[Array, ""]
    ) -> tuple[TrainState, dict[str, Array]]:
        """Return the next state, and metrics to log.

        Args:
          finite: whether everything is finite, in other proposals that belong to the step too.
        """
        large = proposal.large
        apply = _computed_once(
            finite & (~large | (state.consecutive_large_grads >= self.max_skips))
        )
        next_state = _next_state(state, proposal.new, apply=apply, large=large, finite=finite)
        return next_state, proposal.report | {
            "skipped": next_state.skipped,
            "consecutive_nonfinite": next_state.consecutive_nonfinite,
        }


class Proposal(NamedTuple):
    """The arrays that a step would write, and what decides whether it does.

    Attributes:
      new: the fields of the next state; of `params` those that are trained.
      large: whether the gradient's norm reaches skip_norm.
      finite: whether the loss, the gradient's norm and all of `new` are finite.
      report: metrics to log.
    """

    new: Mapping[str, Any]
    large: Bool[Array, ""]
    finite: Bool[Array, ""]
    report: dict[str, Array]


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Return whether all floating-point numbers in a tree are finite, in one pass over it.

    Arrays of one name and shape, which are a parameter, its EMA and its moments, are reduced
    together: they are computed from the same inputs and sharded alike.
    """
    groups: dict[Any, list[Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            groups.setdefault((getattr(path[-1], "key", path), leaf.shape), []).append(leaf)
    verdicts = [
        functools.reduce(jnp.logical_and, map(jnp.isfinite, leaves)).all()
        for leaves in groups.values()
    ]
    # A dot product: XLA would compute a chain of conjunctions again in every array's update.
    good = jnp.stack(verdicts or [jnp.ones((), bool)]).astype(jnp.float32)
    return good @ jnp.ones_like(good) == len(good)


def _computed_once(condition: Bool[Array, ""]) -> Bool[Array, ""]:
    """Return the condition as a dot product, which XLA does not fuse.

    XLA would otherwise compute everything that leads to the condition again in the update of every
    array: a quarter of the instructions of a small model's step.
    """
    twice = jnp.stack([condition, condition]).astype(jnp.float32)
    return twice @ jnp.ones_like(twice) == len(twice)


def _next_state(
    state: TrainState,
    new: Mapping[str, Any],
    *,
    apply: Bool[Array, ""],
    large: Bool[Array, ""],
    finite: Bool[Array, ""],
) -> TrainState:
    """Return the state after a step: with the arrays of `new` if `apply`, and with its counters."""

    # A select, not a branch: it fuses with the update, and donated buffers are written in place.
    def keep(new, old):
        return jax.tree.map(lambda n, o: jnp.where(apply, n, o), new, old)

    consecutive = jnp.where(
        large,
        jnp.where(apply, state.consecutive_large_grads, state.consecutive_large_grads + 1),
        0,
    )
    return dataclasses.replace(
        state,
        step=state.step + 1,
        params=state.params
        | keep(new["params"], {name: state.params[name] for name in new["params"]}),
        ema=keep(new["ema"], state.ema),
        model_state=keep(new["model_state"], state.model_state),
        opt_state=keep(new["opt_state"], state.opt_state),
        skipped=state.skipped + ~apply,
        consecutive_large_grads=jnp.where(finite, consecutive, state.consecutive_large_grads),
        consecutive_nonfinite=jnp.where(finite, 0, state.consecutive_nonfinite + 1),
    )


def _belongs(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def by_layer(arrays: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Group arrays by layer: decoder.blocks.7.prior.c1.kernel belongs to decoder.blocks.7.

    Layers are in the order of a forward pass: encoders first, and blocks by their numbers.
    """
    layers: dict[str, list[Any]] = {}
    for name, array in arrays.items():
        layers.setdefault(".".join(name.split(".")[:-1][:3]) or name, []).append(array)
    return {layer: layers[layer] for layer in sorted(layers, key=_forward_order)}


def _forward_order(layer: str) -> tuple[bool, list[tuple[int, str]]]:
    # Numbers before names, so that blocks come before a head such as decoder.out_conv.
    parts = [(int(part), "") if part.isdigit() else (1 << 30, part) for part in layer.split(".")]
    return not layer.startswith("encoder"), parts
