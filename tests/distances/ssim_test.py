import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.distances.pixel_error import mse, psnr
from pipeline.distances.ssim import ssim


@pytest.fixture
def pair():
    a = np.random.default_rng(0).integers(40, 200, (3, 16, 16, 3))
    return jnp.asarray(a, jnp.uint8), jnp.asarray(
        a + np.array([0, 5, 25])[:, None, None, None], jnp.uint8
    )


def test_uint8_and_float_images_give_the_same(pair):
    a, b = pair
    floats = [image / 127.5 - 1 for image in pair]
    for distance in (mse, psnr, ssim):
        np.testing.assert_allclose(distance(*floats), distance(a, b), rtol=1e-3, atol=1e-6)


def test_ssim_is_one_for_equal_images_and_follows_wang_et_al(pair):
    a, b = pair
    value = ssim(a, b)
    np.testing.assert_allclose(value[0], 1.0, atol=1e-4)
    np.testing.assert_allclose(value, dm_pix.ssim(a / 255, b / 255), rtol=1e-4)
    # Written out with the window as a matrix, on one channel of one image.
    window = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    x, y = (np.asarray(image[2, :, :, 0], np.float64) / 255 for image in pair)
    total = []
    for i in range(6):
        for j in range(6):
            u, v = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mu, mv = (window * u).sum(), (window * v).sum()
            su, sv, suv = (
                (window * p).sum() for p in ((u - mu) ** 2, (v - mv) ** 2, (u - mu) * (v - mv))
            )
            total.append(
                (2 * mu * mv + 1e-4)
                * (2 * suv + 9e-4)
                / ((mu**2 + mv**2 + 1e-4) * (su + sv + 9e-4))
            )
    np.testing.assert_allclose(ssim(a[2:, :, :, :1], b[2:, :, :, :1])[0], np.mean(total), rtol=1e-3)


def test_ssim_of_images_smaller_than_its_window():
    a = jax.random.uniform(jax.random.key(0), (2, 8, 8, 1), minval=-1)
    np.testing.assert_allclose(ssim(a, a), 1.0, atol=1e-4)
    assert (ssim(a, -a) < 0.5).all()
