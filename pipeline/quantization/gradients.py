"""Gradients through quantization, whose own is zero almost everywhere.

Each function returns the codes exactly and says which gradient the vectors get; the codes get none.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

_TINY = 1e-6


@jax.custom_vjp
def straight_through(x: Float[Array, "*n d"], codes: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Return the codes; x gets their gradient unchanged (arXiv 1308.3432, 1711.00937)."""
    del x
    return codes


def _keep(x: Array, codes: Array) -> tuple[Array, None]:
    del x
    return codes, None


def _pass(_: None, grad: Array) -> tuple[Array, Array]:
    return grad, jnp.zeros_like(grad)


straight_through.defvjp(_keep, _pass)


@jax.custom_vjp
def rotation(x: Float[Array, "*n d"], codes: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Return the codes; x gets their gradient turned and scaled as x would be to become its code.

    With R the rotation in the plane of x and its code, and s = |code| / |x|, the code is s R x, and
    the gradient is s R^T g (arXiv 2410.06424, section 4.2).
    """
    del x
    return codes


def _remember(x: Array, codes: Array) -> tuple[Array, Any]:
    return codes, (x, codes)


def _turn(saved: Any, grad: Array) -> tuple[Array, Array]:
    x, codes = saved
    length, (u, v) = _norm(x), (each / _norm(each) for each in (x, codes))
    w = u + v
    w = w / _norm(w)
    turned = grad - 2 * _dot(w, grad) * w + 2 * _dot(v, grad) * u
    scale = jnp.sqrt(jnp.square(codes).sum(axis=-1, keepdims=True)) / length
    return scale * turned, jnp.zeros_like(grad)


rotation.defvjp(_remember, _turn)

GRADIENTS = {"straight_through": straight_through, "rotation": rotation}


def check(name: str, where: str) -> None:
    """Raise ConfigError for the name of no gradient."""
    if name not in GRADIENTS:
        raise ConfigError(f"{where}={name!r}: {nearest(name, GRADIENTS)}")


def _norm(x: Array) -> Array:
    return jnp.maximum(jnp.sqrt(jnp.square(x).sum(axis=-1, keepdims=True)), _TINY)


def _dot(a: Array, b: Array) -> Array:
    return (a * b).sum(axis=-1, keepdims=True)
