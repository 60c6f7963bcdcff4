"""The update of a state from a gradient: clip, skip or apply, and EMA, in one pass over arrays."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from pipeline.core.errors import ConfigError
from pipeline.core.parameters import Arrays
from pipeline.training.state.train_state import TrainState


@dataclasses.dataclass(frozen=True)
class Update:
    """The rules by which a gradient changes the state.

    The gradient is clipped to a global norm of `clip_norm`. A step whose norm before clipping
    reaches `skip_norm`, or whose loss or norm is not finite, changes only the counters: neither the
    parameters, nor the optimizer's state, nor the EMA. VDVAE (arXiv 2011.10650) skips likewise, but
    its threshold can stall a run forever. Here, after `max_skips` large gradients in a row, clipped
    updates are applied until the norm is below the threshold again. A non-finite gradient is never
    applied. 0 turns clip_norm or skip_norm off.

    The EMA's decay is `ema`, but at most (1 + n) / (10 + n) after n applied steps. Otherwise an
    average over ten thousand steps would consist of the initial weights for most of a short run.
    """

    optimizer: optax.GradientTransformation
    learning_rate: Callable[[Array], Array]
    ema: float
    clip_norm: float = 0.0
    skip_norm: float = 0.0
    max_skips: int = 100

    def __post_init__(self):
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema={self.ema} must be at least 0 and below 1")
        if min(self.clip_norm, self.skip_norm, self.max_skips) < 0:
            raise ConfigError("optimizer.clip_norm, skip_norm and max_skips are 0 or more")

    def __call__(
        self,
        state: TrainState,
        loss: Float[Array, ""],
        gradients: Arrays,
        model_state: Arrays,
        *,
        all_finite: Bool[Array, ""] | None = None,
    ) -> tuple[TrainState, dict[str, Array]]:
        """Return the next state, and metrics to log.

        Args:
          loss: the differentiated loss.
          model_state: the model's other variables after the step.
          all_finite: whether everything else that the step computes is finite; if not, the update
            is skipped.
        """
        layer_norms = jnp.stack([optax.tree.norm(layer) for layer in by_layer(gradients).values()])
        norm = jnp.linalg.norm(layer_norms)
        finite = jnp.isfinite(norm) & jnp.isfinite(loss)
        finite = finite if all_finite is None else finite & all_finite
        large = (norm >= self.skip_norm) if self.skip_norm else jnp.zeros((), bool)
        apply = finite & (~large | (state.consecutive_large_grads >= self.max_skips))
        rate = self.learning_rate(state.step)
        shrink = jnp.minimum(1.0, self.clip_norm / (norm + 1e-6)) if self.clip_norm else 1.0
        gradients = jax.tree.map(lambda g: g * shrink, gradients)
        updates, opt_state = self.optimizer.update(gradients, state.opt_state, state.params)
        params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
        applied = (state.step - state.skipped).astype(jnp.float32)
        decay = jnp.minimum(self.ema, (1 + applied) / (10 + applied))
        # The state of a discriminator has no EMA.
        ema = {
            name: state.ema[name] * decay + params[name] * (1 - decay) for name in sorted(state.ema)
        }
        new: Any = dict(params=params, ema=ema, model_state=model_state, opt_state=opt_state)
        next_state = _next_state(state, new, apply=apply, large=large, finite=finite)
        report = {
            "gradient_norm": norm,
            "learning_rate": rate,
            "skipped": next_state.skipped,
            "consecutive_nonfinite": next_state.consecutive_nonfinite,
            "layer_gradient_norms": layer_norms,
        }
        return next_state, report


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
        params=keep(new["params"], state.params),
        ema=keep(new["ema"], state.ema),
        model_state=keep(new["model_state"], state.model_state),
        opt_state=keep(new["opt_state"], state.opt_state),
        skipped=state.skipped + ~apply,
        consecutive_large_grads=jnp.where(finite, consecutive, state.consecutive_large_grads),
        consecutive_nonfinite=jnp.where(finite, 0, state.consecutive_nonfinite + 1),
    )


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
