"""Forcing the schedule changes no value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.backend import cpu_schedule, target


@pytest.mark.parametrize("earlier", [0.0, -0.0, -1.5, 3e38, jnp.inf, -jnp.inf, jnp.nan])
def test_the_added_zero_changes_no_bit(earlier):
    weights = jax.random.normal(jax.random.key(0), (3, 4))
    out = jax.jit(cpu_schedule.after)([jnp.full((2,), earlier), jnp.ones((1, 1))], weights)
    np.testing.assert_array_equal(out, weights)


def test_the_dependency_is_added_on_a_single_cpu_device_only():
    def operations() -> int:
        return len(jax.make_jaxpr(cpu_schedule.after)([jnp.ones(2)], jnp.ones(3)).eqns)

    assert operations() > 0
    with target.compiling_for("tpu"):
        assert operations() == 0
    mesh = jax.sharding.Mesh(
        np.array(jax.devices()[:2]).reshape(1, 2, 1), ("replica", "fsdp", "context")
    )
    with target.compiling_for("cpu", mesh=mesh):
        assert operations() == 0


def test_a_computed_array_is_the_array_and_has_its_gradient():
    x = jax.random.normal(jax.random.key(0), (3, 4)).at[0, 0].set(jnp.nan)
    np.testing.assert_array_equal(jax.jit(cpu_schedule.computed)(x), x)
    grad = jax.jit(jax.grad(lambda x: (cpu_schedule.computed(x) ** 2).sum()))(x)
    np.testing.assert_array_equal(grad, 2 * x)


@pytest.mark.parametrize("backend", ["cpu", "tpu"])
def test_sum_of_pixels_on_every_backend(backend):
    x = jax.random.normal(jax.random.key(0), (2, 5, 3))
    with target.compiling_for(backend):
        np.testing.assert_allclose(
            cpu_schedule.sum_of_pixels(x), x.sum(axis=1, keepdims=True), atol=1e-5
        )
