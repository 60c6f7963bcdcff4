"""Optimisers and learning rates. Clipping and skipping belong to the step (steps/update.py), which knows the loss."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

DECAYS = ("constant", "cosine", "linear")
OPTIMIZERS = ("adamw", "adamax")


def create(
    name: str = "adamw",
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    l2: float = 0.0,
) -> optax.GradientTransformation:
    """Gradients -> the direction to step against, before the learning rate; weight decay is decoupled (1711.05101).

    `l2` is not: l2 times the parameters is added to the gradients first. "adamax" has the infinity norm of NVAE
    (2007.03898) and others: max(b2 * u, |g| + eps).
    """
    if name not in OPTIMIZERS:
        raise ConfigError(f"optimizer.name={name!r}: {nearest(name, OPTIMIZERS)}")
    scale = (
        optax.scale_by_adam(b1, b2, eps) if name == "adamw" else optax.scale_by_adamax(b1, b2, eps)
    )
    parts = [optax.add_decayed_weights(l2)] if l2 else []
    parts += [scale, optax.add_decayed_weights(weight_decay)] if weight_decay else [scale]
    return parts[0] if len(parts) == 1 else optax.chain(*parts)


def learning_rate(
    step: Int[Array, ""] | int,
    *,
    peak: float,
    warmup_steps: int,
    decay: str,
    num_steps: int,
    final: float = 0.0,
) -> Float[Array, ""]:
    """The rate of step `step` (from 0): linear warm-up over `warmup_steps`, then constant, or down to `final`
    at `num_steps` along a line or a half cosine."""
    if decay not in DECAYS:
        raise ConfigError(f"optimizer.decay={decay!r}: {nearest(decay, DECAYS)}")
    step = jnp.asarray(step, jnp.float32)
    warm = jnp.minimum(1.0, (step + 1) / max(1, warmup_steps))
    progress = jnp.clip((step - warmup_steps) / max(1, num_steps - warmup_steps), 0.0, 1.0)
    left = {
        "constant": jnp.ones(()),
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + jnp.cos(jnp.pi * progress)),
    }[decay]
    return warm * (final + (peak - final) * left)
