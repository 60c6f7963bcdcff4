"""Reductions of per-example values and of latents."""

import jax.numpy as jnp
import numpy as np

from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Latent


def test_masked_mean_ignores_padding_even_if_it_is_infinite():
    values = jnp.array([1.0, 3.0, jnp.inf])
    assert float(masked_mean(values, jnp.array([1, 1, 0]))) == 2
    assert float(masked_mean(values[:2])) == 2
    assert float(masked_mean(values, jnp.zeros(3))) == 0


def test_layer_rates_sum_each_layer_over_an_example():
    latents = tuple(Latent(z=kl, kl=kl) for kl in (jnp.ones((2, 3)), 2 * jnp.ones((2, 2, 2, 1))))
    np.testing.assert_array_equal(layer_rates(latents), [[3, 8], [3, 8]])
