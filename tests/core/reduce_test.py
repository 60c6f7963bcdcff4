import jax
import jax.numpy as jnp
import numpy as np

from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Latent

MASK = jnp.array([1.0, 1.0, 1.0, 0.0])


def test_masked_mean_ignores_padding_even_if_it_is_not_finite():
    values = jnp.array([1.0, 2.0, 6.0, jnp.nan])
    assert masked_mean(values, MASK) == 3
    assert masked_mean(values[:3]) == 3
    assert masked_mean(values, jnp.zeros(4)) == 0
    assert np.isfinite(jax.grad(lambda x: masked_mean(x, MASK))(values)).all()


def test_layer_rates_sum_the_kl_of_each_layer():
    kl = jax.random.uniform(jax.random.key(0), (4, 6))
    latents = [Latent(z=jnp.zeros_like(x), kl=x) for x in (kl.reshape(4, 1, 2, 3), 2 * kl)]
    np.testing.assert_allclose(
        layer_rates(tuple(latents)), jnp.stack([kl.sum(1), 2 * kl.sum(1)], 1), rtol=1e-6
    )
