import jax.numpy as jnp
import numpy as np

from pipeline.distributions.continuous import Categorical
from pipeline.metrics.functions.bits_per_dim import bits_per_dim


def test_a_uniform_distribution_over_bytes_has_eight_bits():
    image = jnp.zeros((2, 4, 4, 3), jnp.uint8)
    nats = -Categorical(jnp.zeros((2, 4, 4, 3, 256))).log_prob(image)
    np.testing.assert_allclose(bits_per_dim(nats, dims=48), 8.0, rtol=1e-6)
