import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.reduce import masked_mean
from pipeline.core.types import Latent
from pipeline.losses.terms import free_bits, free_bits_per_example

MASK = jnp.array([1.0, 1.0, 1.0, 0.0])


def latent(kl):
    return Latent(z=jnp.zeros_like(kl), kl=kl)


@pytest.fixture
def kl():
    return jax.random.uniform(jax.random.key(0), (4, 6)) * jnp.linspace(0.01, 2.0, 6)


def test_groups_are_layers_of_a_hierarchy_and_channels_of_a_single_layer(kl):
    np.testing.assert_array_equal(free_bits.group_rates((latent(kl),)), kl)
    maps = kl.reshape(4, 1, 2, 3)
    np.testing.assert_allclose(
        free_bits.group_rates((latent(maps),)), maps.sum(axis=(1, 2)), rtol=1e-6
    )
    assert free_bits.group_rates((latent(kl), latent(maps))).shape == (4, 2)


def test_free_bits_of_the_batch_mean(kl):
    minimum = 0.5
    mean = kl[:3].mean(axis=0)
    assert (mean < minimum).any() and (mean > minimum).any()

    def charge(rates):
        return masked_mean(free_bits.charge(rates, minimum, MASK), MASK)

    np.testing.assert_allclose(charge(kl), jnp.maximum(mean, minimum).sum(), rtol=1e-6)
    gradient = jax.grad(charge)(kl)
    # The gradient is zero in a group below the minimum; in the others, each example has a third,
    # and padding has none.
    np.testing.assert_allclose(gradient[:3], jnp.tile((mean > minimum) / 3, (3, 1)), rtol=1e-6)
    assert (gradient[3] == 0).all()


def test_free_bits_of_each_example(kl):
    charged = free_bits_per_example.charge(kl, 0.5)
    np.testing.assert_allclose(charged, jnp.maximum(kl, 0.5).sum(axis=1), rtol=1e-6)
    mean = free_bits.charge(kl, 0.5).mean()
    assert float(charged.mean()) > float(mean), "Jensen's inequality"
