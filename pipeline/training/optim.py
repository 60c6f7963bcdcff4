"""Optimizers and learning rates. Clipping and skipping are in update.py, which sees the loss."""

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
    b1: float | int = 0.9,
    b2: float | int = 0.999,
    eps: float | int = 1e-8,
    weight_decay: float | int = 0.0,
    l2: float | int = 0.0,
) -> optax.GradientTransformation:
    """Create an optimizer, whose updates are to be scaled by the negative learning rate.

    Args:
      name: "adamw", or "adamax" with the infinity norm of NVAE (arXiv 2007.03898) and others:
        max(b2 * u, |g| + eps).
      weight_decay: decoupled from the gradient (arXiv 1711.05101).
      l2: not decoupled: l2 times the parameters is added to the gradients first.
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
    peak: float | int,
    warmup_steps: int,
    decay: str,
    num_steps: int,
    final: float | int = 0.0,
) -> Float[Array, ""]:
    """Return the learning rate of a step, counted from 0.

    The rate warms up linearly over `warmup_steps`. Then it stays at `peak` ("constant"), or falls
    to `final` at `num_steps` along a line ("linear") or half a cosine ("cosine").
    """
    if decay not in DECAYS:
        raise ConfigError(f"optimizer.decay={decay!r}: {nearest(decay, DECAYS)}")
    step, peak, final = jnp.asarray(step, jnp.float32), float(peak), float(final)
    warm = jnp.minimum(1.0, (step + 1) / max(1, warmup_steps))
    progress = jnp.clip((step - warmup_steps) / max(1, num_steps - warmup_steps), 0.0, 1.0)
    left = {
        "constant": jnp.ones(()),
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + jnp.cos(jnp.pi * progress)),
    }[decay]
    return warm * (final + (peak - final) * left)
