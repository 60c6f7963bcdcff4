"""The building block of residual networks: a convolution of silu of a norm, rematerialized."""

import functools
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend import cpu_schedule
from pipeline.nn.cache import CausalCache


def norm_act_conv(
    norm: nnx.Module,
    conv: nnx.Module,
    x: Float[Array, "b *t h w c"],
    cache: CausalCache | None = None,
) -> Float[Array, "b *t2 h2 w2 d"]:
    """Return conv(silu(norm(x))), keeping only x for the backward pass.

    The backward pass recomputes the norm and the activation, which are cheap, but not the
    convolution.
    """
    if cache is not None:  # chunks are not differentiated
        return conv(nnx.silu(norm(x)), cache)
    graphs, states = zip(nnx.split(norm), nnx.split(conv))
    if cpu_schedule.applies():
        return _scheduled(graphs, states, x)
    # nnx.remat would fail in a jitted function that closes over the model.
    return jax.checkpoint(functools.partial(_compose, graphs))(states, x)


def _compose(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> Array:
    norm, conv = map(nnx.merge, graphs, states)
    return conv(nnx.silu(norm(x)))


# jax.checkpoint where we force XLA's schedule: the norm's output is recomputed when the
# convolution's gradient arrives, and not for all blocks when the backward pass begins.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scheduled(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> Array:
    return _compose(graphs, states, x)


def _forward(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> tuple[Array, Any]:
    return _compose(graphs, states, x), (states, x)


def _backward(graphs: tuple[Any, Any], saved: Any, grad: Array) -> tuple[Any, Array]:
    (norm_state, conv_state), x = saved
    # Without the barrier XLA would share the norm's output with the forward pass, and keep it.
    x = jax.lax.optimization_barrier(x)
    norm_state = jax.tree.map(functools.partial(cpu_schedule.after, [grad]), norm_state)
    return jax.vjp(functools.partial(_compose, graphs), (norm_state, conv_state), x)[1](grad)


_scheduled.defvjp(_forward, _backward)
