"""Initializers: JAX's own values, from few compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.nn import init

SHAPES = [(1,), (7,), (3, 3, 3, 5, 8), (64, 65), (4096,), (4097,), (30, 40, 50)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_values_are_jaxs_own_for_the_key_and_shape(shape, scale):
    key = jax.random.key(5)
    uniform = jnp.float32(scale) * jax.random.uniform(key, shape, jnp.float32, -1, 1)
    normal = jnp.float32(scale) * jax.random.normal(key, shape, jnp.float32)
    assert np.array_equal(init.uniform(key, shape, scale), uniform)
    assert np.array_equal(init.normal(key, shape, scale), normal)
    assert init.uniform(key, shape).dtype == init.normal(key, shape).dtype == jnp.float32


def test_values_are_the_same_under_jit_and_without_partitionable_generators():
    key, shape = jax.random.key(6), (3, 5, 7)
    expected = init.uniform(key, shape)
    np.testing.assert_array_equal(jax.jit(lambda key: init.uniform(key, shape))(key), expected)
    with jax.threefry_partitionable(False):
        assert np.array_equal(init.normal(key, shape), jax.random.normal(key, shape, jnp.float32))
    assert jax.eval_shape(lambda: init.normal(key, shape)).shape == shape


def test_shapes_share_compiled_programs(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        jax.random, "uniform", lambda key, shape, *_: drawn.append(shape) or jnp.zeros(shape)
    )
    for shape in [(9,), (3, 3, 4, 8), (64, 64), (64, 65), (90, 90)]:
        assert init.uniform(jax.random.key(0), shape).shape == shape
    assert set(drawn) == {(4096,), (8192,)}
