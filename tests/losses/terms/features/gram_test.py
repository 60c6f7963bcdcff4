"""The Gram loss: a closed form, and no positions."""

import jax
import jax.numpy as jnp
import numpy as np

from pipeline.losses.terms.features.gram import distance, matrix


def test_the_matrix_is_the_mean_of_products():
    x = jnp.array([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two positions of two channels
    np.testing.assert_allclose(matrix(x)[0], [[5.0, -0.5], [-0.5, 2.5]])


def test_positions_do_not_count_and_scale_does():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    moved = jnp.flip(jnp.roll(x, 1, axis=1), axis=2)
    np.testing.assert_allclose(distance(x, moved), 0, atol=1e-9)
    np.testing.assert_allclose(
        distance(x, 2 * x), 9 * np.square(matrix(x)).mean(axis=(1, 2)), rtol=1e-5
    )
