import jax.numpy as jnp
import numpy as np

from pipeline.distances.pixel_error import MAX_PSNR, mse, psnr


def test_mse_and_psnr_of_a_constant_difference():
    images = np.random.default_rng(0).integers(40, 200, (3, 16, 16, 3))
    a = jnp.asarray(images, jnp.uint8)
    b = jnp.asarray(images + np.array([0, 5, 25])[:, None, None, None], jnp.uint8)
    np.testing.assert_allclose(mse(a, b), (np.array([0, 5, 25]) / 255) ** 2, rtol=1e-4, atol=1e-9)
    expected = [MAX_PSNR, 20 * np.log10(255 / 5), 20 * np.log10(255 / 25)]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-4)
