"""norm_act_conv equals the plain composition and keeps less for the backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.backend import target
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv import Conv
from pipeline.nn.conv3d import CausalConv3d
from pipeline.nn.norm import GroupNorm, LayerNorm
from pipeline.nn.norm_act_conv import norm_act_conv

X = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))

# On one CPU device the schedule is forced; elsewhere it is jax.checkpoint.
backends = pytest.mark.parametrize("backend", ["cpu", "tpu"])


def pair(convolution: str):
    """Return a norm with random weights and a convolution."""
    if convolution == "2d":
        norm, conv = GroupNorm(8, groups=4), Conv(8, 4, 3, key=jax.random.key(1))
    else:
        norm, conv = LayerNorm(8), CausalConv3d(8, 4, 3, key=jax.random.key(1))
    norm.scale[...] = jax.random.normal(jax.random.key(2), (8,))
    norm.bias[...] = jax.random.normal(jax.random.key(3), (8,))
    return norm, conv


def plain(norm, conv, x):
    return conv(nnx.silu(norm(x)))


@backends
@pytest.mark.parametrize("convolution", ["2d", "3d"])
def test_values_and_gradients_match_the_composition(backend, convolution):
    graphs, states = nnx.split(pair(convolution))

    def gradients(compose):
        def loss(states, x):
            return jnp.square(compose(*nnx.merge(graphs, states), x)).sum()

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(states, X)

    expected = gradients(plain)
    with target.compiling_for(backend):
        ours = gradients(norm_act_conv)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(b).max()))


@backends
@pytest.mark.parametrize("convolution", ["2d", "3d"])
def test_only_x_is_kept_for_the_backward_pass(backend, convolution):
    norm, conv = pair(convolution)
    with target.compiling_for(backend):
        # Both close over the modules, as `jax.jit(lambda x: model(x))` does.
        assert (
            maps_kept(lambda x: norm_act_conv(norm, conv, x))
            == 1
            < maps_kept(lambda x: plain(norm, conv, x))
        )


def maps_kept(f) -> int:
    """Return how many arrays as large as X the backward pass of f needs."""
    return sum(leaf.size >= X.size for leaf in jax.tree.leaves(jax.vjp(f, X)[1]))


def test_chunks_match_the_whole_clip():
    norm, conv = pair("3d")
    cache = CausalCache()
    first = norm_act_conv(norm, conv, X[:, :1], cache)
    rest = norm_act_conv(norm, conv, X[:, 1:], CausalCache(cache.arrays()))
    np.testing.assert_allclose(
        jnp.concatenate([first, rest], axis=1), plain(norm, conv, X), atol=1e-5
    )
