"""GELU: the exact function and its derivative, on this backend's lowering."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from pipeline.backend.gelu import gelu

X = np.concatenate([np.linspace(-12, 12, 100_001), [-1e4, 1e4, 0.0]]).astype(np.float32)


def cdf(x):
    return scipy.special.ndtr(x.astype(np.float64))


def test_is_x_times_the_normal_distribution():
    error = np.abs(np.asarray(jax.jit(gelu)(X)) - X * cdf(X))
    assert np.max(error / np.maximum(1, np.abs(X))) < 5e-7


def test_derivative():
    density = np.exp(-0.5 * X.astype(np.float64) ** 2) / np.sqrt(2 * np.pi)
    derivative = jax.jit(jax.vmap(jax.grad(gelu)))(jnp.asarray(X))
    np.testing.assert_allclose(derivative, cdf(X) + X * density, atol=5e-7)


def test_keeps_bfloat16():
    assert gelu(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
