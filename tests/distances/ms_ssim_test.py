"""MS-SSIM against the published formulas written out in NumPy, and its number of scales."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.distances import ms_ssim


def restated(x: np.ndarray, y: np.ndarray, weights) -> float:
    """Return equation 7 of Wang, Simoncelli and Bovik 2003 in float64; one channel in [0, 1]."""
    window = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2

    def blurred(z):
        return (np.lib.stride_tricks.sliding_window_view(z, (11, 11)) * window).sum((-1, -2))

    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:  # Mean of 2x2 pixels with symmetric borders, then every second one.
            x, y = (np.pad(z, [(0, n % 2) for n in z.shape], mode="symmetric") for z in (x, y))
            x, y = (
                0.25 * (z[::2, ::2] + z[1::2, ::2] + z[::2, 1::2] + z[1::2, 1::2]) for z in (x, y)
            )
        mx, my = blurred(x), blurred(y)
        vx, vy, vxy = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
        term = (2 * vxy + 0.03**2) / (vx + vy + 0.03**2)
        if scale == len(weights) - 1:
            term = term * (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
        result *= max(term.mean(), 0) ** weight
    return result


def pair(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    a = (
        rng.integers(0, 256, (1, -(-height // 8), -(-width // 8), channels))
        .repeat(8, 1)
        .repeat(8, 2)
    )
    a = a[:, :height, :width]
    return a.astype(np.uint8), np.clip(a + rng.normal(0, 25, a.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("height, width, scales", [(163, 161, 5), (66, 45, 3)])
def test_ms_ssim_matches_the_published_formulas(height, width, scales):
    a, b = pair(height, width)
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    weights = weights if scales == 5 else weights / weights.sum()
    expected = np.mean(
        [restated(a[0, ..., c] / 255, b[0, ..., c] / 255, weights) for c in range(3)]
    )
    assert ms_ssim.num_scales(height, width) == scales and 0.3 < expected < 0.99
    measure = jax.jit(ms_ssim.ms_ssim, static_argnums=2)
    np.testing.assert_allclose(measure(a, b, scales)[0], expected, rtol=1e-4)
    np.testing.assert_allclose(measure(a, a, scales), 1.0, atol=1e-5)


def test_the_gradient_is_finite_where_a_similarity_is_zero_or_below():
    slope = jax.grad(lambda s: ms_ssim._power(s, 0.3).sum())
    found = slope(jnp.array([[0.5], [1e-4], [0.0], [-0.4]]))[:, 0]
    np.testing.assert_allclose(found, 0.3 * np.array([0.5, 1e-4, 1e-4, 1e-4]) ** -0.7, rtol=1e-5)
    # Stripes against their negative and against zeros: structural similarity below 0 and about 0.
    stripes = jnp.asarray(
        np.tile([-0.5, -0.5, 0.5, 0.5], 6)[:, None, None] * np.ones((1, 24, 24, 1)), jnp.float32
    )
    measure = jax.jit(jax.value_and_grad(lambda x: ms_ssim.ms_ssim(x, stripes, 2).sum()))
    for other in (
        -stripes,
        jnp.zeros_like(stripes),
        stripes * jnp.sign(jnp.arange(24) - 11.5)[:, None],
    ):
        value, gradient = measure(other)
        assert 0 <= float(value) < 0.5 and np.isfinite(gradient).all()
    assert float(measure(-stripes)[0]) == 0
    value, gradient = measure(0.5 * stripes)
    further, _ = measure(0.5 * stripes + 1e-3 * stripes)
    np.testing.assert_allclose((gradient * stripes).sum(), (further - value) / 1e-3, rtol=1e-2)


def test_as_many_scales_as_the_image_has_room_for():
    sides = {160: 4, 161: 5, 81: 4, 80: 3, 41: 3, 21: 2, 20: 1, 11: 1, 10: 0}
    assert {side: ms_ssim.num_scales(side, 500) for side in sides} == sides
    a = jnp.zeros((1, 160, 200, 1))
    with pytest.raises(
        DataError, match="5 scales needs 161 pixels each way or more, and the images are 160x200"
    ):
        ms_ssim.ms_ssim(a, a)
