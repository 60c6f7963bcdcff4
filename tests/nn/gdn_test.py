"""Divisive normalization against its formula, and the bound through which gradients return."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.nn.gdn import GDN, lower_bound


def test_each_channel_is_divided_by_a_root_of_all_channels_squares():
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    roots = jax.random.uniform(jax.random.key(1), (4, 4))

    @jax.jit
    def both(x, roots):
        outputs = []
        for inverse in (False, True):
            layer = GDN(4, inverse=inverse)
            outputs.append(layer(x))
            layer.root_gamma[...] = roots
            outputs.append(layer(x))
        return outputs

    start, trained, inverse_start, inverse = both(x, roots)
    norm = np.sqrt(1 + 0.1 * np.square(x))
    np.testing.assert_allclose(start, x / norm, rtol=1e-5)
    np.testing.assert_allclose(inverse_start, x * norm, rtol=1e-5)
    norm = np.sqrt(1 + np.square(x) @ np.square(roots))
    np.testing.assert_allclose(trained, x / norm, rtol=1e-5)
    np.testing.assert_allclose(inverse, x * norm, rtol=1e-5)


def test_below_the_bound_only_a_gradient_that_raises_the_value_passes():
    @jax.jit
    def gradients(x):
        _, pull = jax.vjp(lambda x: lower_bound(x, 1.0), x)
        return pull(jnp.ones_like(x))[0], pull(-jnp.ones_like(x))[0]

    falls, rises = gradients(jnp.array([0.5, 2.0]))
    np.testing.assert_array_equal(falls, [0.0, 1.0])
    np.testing.assert_array_equal(rises, [-1.0, -1.0])
