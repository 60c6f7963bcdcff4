"""GELU and its derivative, as lowered for this backend, against the exact functions."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from pipeline.backend.gelu import gelu

X = np.concatenate([np.linspace(-12, 12, 100_001), [-1e4, 1e4, 0.0]]).astype(np.float32)


def cdf(x):
    return scipy.special.ndtr(x.astype(np.float64))


def test_is_x_times_the_normal_cdf():
    error = np.abs(np.asarray(jax.jit(gelu)(X)) - X * cdf(X))
    assert np.max(error / np.maximum(1, np.abs(X))) < 5e-7


def test_derivative_is_exact():
    density = np.exp(-0.5 * X.astype(np.float64) ** 2) / np.sqrt(2 * np.pi)
    derivative = jax.jit(jax.vmap(jax.grad(gelu)))(jnp.asarray(X))
    np.testing.assert_allclose(derivative, cdf(X) + X * density, atol=5e-7)


def test_bfloat16_in_gives_bfloat16_out():
    assert gelu(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
