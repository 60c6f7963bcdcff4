"""The composition that residual networks are made of: a convolution of silu of a norm."""

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
) -> Float[Array, "b *t h2 w2 d"]:
    """conv(silu(norm(x))), of which only x is kept for the gradients.

    What else they need is soon computed once more, and the convolution itself is not among it.
    """
    if cache is not None:  # of a stream, which nobody differentiates
        return conv(nnx.silu(norm(x)), cache)
    graphs, states = zip(nnx.split(norm), nnx.split(conv))
    if cpu_schedule.matters():
        return _composed(graphs, states, x)
    # nnx.remat would fail in a jitted function that closes over the model.
    return jax.checkpoint(functools.partial(_compose, graphs))(states, x)


def _compose(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> Array:
    norm, conv = map(nnx.merge, graphs, states)
    return conv(nnx.silu(norm(x)))


# jax.checkpoint where XLA has an order that we give: what the norm gives is computed once more when the convolution's
# gradient is there, and not all of it when the backward pass begins.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _composed(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> Array:
    return _compose(graphs, states, x)


def _forward(graphs: tuple[Any, Any], states: tuple[Any, Any], x: Array) -> tuple[Array, Any]:
    return _compose(graphs, states, x), (states, x)


def _backward(graphs: tuple[Any, Any], saved: Any, grad: Array) -> tuple[Any, Array]:
    (of_norm, of_conv), x = saved
    x = jax.lax.optimization_barrier(x)  # else what the norm has computed of it would be kept
    of_norm = jax.tree.map(functools.partial(cpu_schedule.after, [grad]), of_norm)
    return jax.vjp(functools.partial(_compose, graphs), (of_norm, of_conv), x)[1](grad)


_composed.defvjp(_forward, _backward)
