"""Schedules of weights, such as beta and capacity, over training steps; traceable by jit.

A schedule is a function of the step. Recipes give a number, which is constant, or
dict(name="linear", ...), whose other keys are the arguments of the function of that name below.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError

Number = float | int
Step = Int[Array, ""] | int
Schedule = Callable[[Step], Float[Array, ""]]


def constant(value: Number) -> Schedule:
    """Return `value` at every step."""
    return lambda step: jnp.asarray(value, jnp.float32)


def linear(*, steps: int, start: Number = 0.0, end: Number = 1.0, begin: int = 0) -> Schedule:
    """Go linearly from `start` at step `begin` to `end` at begin + steps; constant outside.

    Burgess et al. (1804.03599) increase the capacity in this way, from 0.
    """
    _check_steps(steps)
    return lambda step: start + (end - start) * _progress(step, begin, steps)


def cyclical(
    *, steps: int, cycles: int = 4, ratio: Number = 0.5, start: Number = 0.0, end: Number = 1.0
) -> Schedule:
    """Repeat a linear warm-up `cycles` times over `steps` steps, then stay at `end`.

    Each cycle goes linearly from `start` to `end` in its first `ratio`, and stays there for the
    rest (Fu et al., 1903.10145, eq. 6 and 7).
    """
    _check_steps(steps)
    if cycles < 1 or not 0 < ratio <= 1:
        raise ConfigError(
            f"cyclical schedule: cycles={cycles} must be at least 1 and ratio={ratio} in (0, 1]"
        )
    period = steps / cycles

    def weight(step: Step) -> Float[Array, ""]:
        within = jnp.mod(jnp.asarray(step, jnp.float32), period) / period
        rising = start + (end - start) * jnp.minimum(within / ratio, 1.0)
        return jnp.where(jnp.asarray(step) >= steps, end, rising)

    return weight


def sigmoid(
    *, steps: int, start: Number = 0.0, end: Number = 1.0, begin: int = 0, steepness: Number = 10.0
) -> Schedule:
    """Follow a logistic curve from `start` at step `begin` to `end` at begin + steps.

    The curve is sigmoid(steepness * (t - 1/2)) of the progress t, rescaled so that its ends are
    exactly 0 and 1; otherwise a steepness of 10 would start at 0.0067 and stop at 0.9933. It is
    constant outside.
    """
    _check_steps(steps)
    if steepness <= 0:
        raise ConfigError(f"sigmoid schedule: steepness={steepness} must be positive")

    def weight(step: Step) -> Float[Array, ""]:
        progress = _progress(step, begin, steps)
        curve = jnp.tanh(steepness / 2 * (progress - 0.5)) / math.tanh(steepness / 4)
        # Rounding would give a beta of -3e-8 in place of 0.
        curve = jnp.where(progress <= 0, -1.0, jnp.where(progress >= 1, 1.0, curve))
        return start + (end - start) * (0.5 + 0.5 * curve)

    return weight


def geometric(*, steps: int, start: Number, end: Number, begin: int = 0) -> Schedule:
    """Multiply by the same factor each step, from `start` at `begin` to `end` at begin + steps.

    NVAE (2007.03898) changes the weight of its spectral regularization in this way. The value is
    constant outside.
    """
    _check_steps(steps)
    if min(start, end) <= 0:
        raise ConfigError(f"geometric schedule: start={start} and end={end} must be above 0")
    return lambda step: start * (end / start) ** _progress(step, begin, steps)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cyclical": cyclical,
    "sigmoid": sigmoid,
    "geometric": geometric,
}


def create(recipe: Any, *, where: str) -> Schedule:
    """Return the schedule that a recipe specifies; `where` is its key there, for errors.

    >>> create(dict(name="linear", steps=100), where="objective.rate.weight")(25)
    Array(0.25, dtype=float32)

    Raises:
      ConfigError: an unknown name or key, or an invalid value.
    """
    if isinstance(recipe, int | float):
        return constant(recipe)
    if not isinstance(recipe, Mapping) or "name" not in recipe:
        raise ConfigError(
            f"{where}={recipe!r} must be a number or a schedule: dict(name='linear', steps=1000)"
        )
    arguments = dict(recipe)
    name = arguments.pop("name")
    if name not in SCHEDULES:
        raise ConfigError(
            f"{where}.name={name!r} is not a schedule: {nearest(str(name), SCHEDULES)}"
        )
    check_arguments(SCHEDULES[name], arguments, where=where)
    return SCHEDULES[name](**arguments)


def _progress(step: Step, begin: int, steps: int) -> Float[Array, ""]:
    """Return 0 until `begin`, rising linearly to 1 at begin + steps."""
    return jnp.clip((jnp.asarray(step, jnp.float32) - begin) / steps, 0.0, 1.0)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"schedule: steps={steps} must be at least 1")
