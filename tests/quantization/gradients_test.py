import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.quantization import gradients

X, CODES, GRAD = (jax.random.normal(jax.random.key(seed), (5, 4)) for seed in range(3))


def pulled(function):
    value, pull = jax.vjp(function, X, CODES)
    np.testing.assert_array_equal(value, CODES)
    of_x, of_codes = pull(GRAD)
    np.testing.assert_array_equal(of_codes, jnp.zeros_like(CODES))
    return of_x


def test_straight_through_passes_the_gradient_unchanged():
    np.testing.assert_array_equal(pulled(gradients.straight_through), GRAD)


def test_rotation_passes_the_gradient_of_the_map_from_vector_to_code():
    def rotated(x, code):
        """Return arXiv 2410.06424's s R x, where s and R are constants."""
        u, v = x / jnp.linalg.norm(x), code / jnp.linalg.norm(code)
        w = (u + v) / jnp.linalg.norm(u + v)
        scale = jnp.linalg.norm(code) / jnp.linalg.norm(x)
        u, v, w, scale = jax.lax.stop_gradient((u, v, w, scale))
        return scale * (x - 2 * (x @ w) * w + 2 * (x @ u) * v)

    np.testing.assert_allclose(jax.vmap(rotated)(X, CODES), CODES, rtol=1e-5)
    _, pull = jax.vjp(lambda x: jax.vmap(rotated)(x, CODES), X)
    of_x = pulled(gradients.rotation)
    np.testing.assert_allclose(of_x, pull(GRAD)[0], rtol=1e-4, atol=1e-6)
    lengths = [np.linalg.norm(each, axis=-1) for each in (of_x, GRAD, CODES, X)]
    np.testing.assert_allclose(lengths[0] / lengths[1], lengths[2] / lengths[3], rtol=1e-5)


def test_rotation_is_finite_at_zero_and_for_opposite_vectors():
    x = jnp.array([[0.0, 0.0], [1.0, 2.0], [1.0, 0.0]])
    codes = jnp.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    _, pull = jax.vjp(lambda x: gradients.rotation(x, codes), x)
    assert np.isfinite(pull(jnp.ones_like(x))[0]).all()


def test_an_unknown_gradient_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="gradient='rotations': did you mean 'rotation'"):
        gradients.check("rotations", "gradient")
