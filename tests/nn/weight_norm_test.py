"""Weight normalization: the norm of a kernel and its initial value."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.nn.weight_norm import WeightNormConv


def test_kernel_norm_is_a_parameter_and_the_initial_kernel_is_the_direction():
    conv = WeightNormConv(4, 6, 3, key=jax.random.key(0))
    norms = jnp.sqrt(jnp.square(conv.weight()).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(norms, jnp.exp(conv.log_norm[...]), rtol=1e-4)
    np.testing.assert_allclose(conv.weight(), conv.kernel[...], rtol=0.05)
    conv.kernel[...] = 3 * conv.kernel[...]
    np.testing.assert_allclose(
        jnp.sqrt(jnp.square(conv.weight()).sum(axis=(0, 1, 2))), norms, rtol=1e-4
    )
