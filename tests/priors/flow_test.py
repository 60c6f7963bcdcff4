"""A flow prior whose flow is the identity is N(0, 1)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline import priors
from pipeline.distributions.continuous import gaussian_log_prob


def test_with_an_identity_flow_it_is_the_standard_normal():
    flow = dict(name="coupling.RealNVP", depth=2, hidden=8)
    prior = priors.create(dict(name="flow.FlowPrior", flow=flow), shape=(4,), key=jax.random.key(0))
    nnx.update(prior, jax.tree.map(jnp.zeros_like, nnx.state(prior, nnx.Param)))
    z = jax.random.normal(jax.random.key(1), (5, 4))

    @nnx.jit
    def values(prior):
        return prior.log_prob(z), prior.sample(jax.random.key(2), 3, 0.7)

    log_prob, drawn = values(prior)
    np.testing.assert_allclose(log_prob, gaussian_log_prob(z), rtol=1e-6)
    plain = priors.create(None, shape=(4,)).sample(jax.random.key(2), 3, 0.7)
    np.testing.assert_allclose(drawn, plain, rtol=1e-6)
