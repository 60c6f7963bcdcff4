"""A mixture's elements are conditional densities, which add up to the mixture's own."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.distributions.continuous import gaussian_log_prob
from pipeline.priors.mixture import mixture_log_prob


def test_elements_are_conditionals_and_sum_to_the_density():
    keys = jax.random.split(jax.random.key(0), 4)
    z = jax.random.normal(keys[0], (5, 3, 2))
    means, logvars = jax.random.normal(keys[1], (4, 3, 2)), jax.random.normal(keys[2], (4, 3, 2))
    log_weights = jax.nn.log_softmax(jax.random.normal(keys[3], (4,)))

    @jax.jit
    def values(z):
        each = gaussian_log_prob(jnp.stack([z] * 4, axis=1), means, logvars).reshape(5, 4, -1)
        whole = jax.nn.logsumexp(each.sum(axis=-1) + log_weights, axis=1)
        return mixture_log_prob(z, log_weights, means, logvars), whole

    found, whole = values(z)
    assert found.shape == z.shape
    np.testing.assert_allclose(found.sum(axis=(1, 2)), whole, rtol=1e-5)
    changed, _ = values(z.at[:, 2].add(1.0))
    np.testing.assert_allclose(changed[:, :2], found[:, :2], atol=1e-5)
    assert not np.allclose(changed[:, 2], found[:, 2], atol=0.1)
