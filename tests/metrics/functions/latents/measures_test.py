"""Measures of latents against closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.metrics.functions.latents.alignment import cka
from pipeline.metrics.functions.latents.interpolation import path_ratio
from pipeline.metrics.functions.latents.spectrum import effective_channels, low_frequency_share

RNG = np.random.default_rng(0)


def waves(frequency: int) -> np.ndarray:
    column = np.cos(2 * np.pi * frequency * np.arange(16) / 16)
    return np.broadcast_to(column[None, None, :, None], (3, 16, 16, 2)).copy()


def test_a_wave_is_all_low_or_not_at_all():
    assert low_frequency_share(waves(4)) == pytest.approx(1)
    assert low_frequency_share(waves(5)) == pytest.approx(0, abs=1e-12)
    assert low_frequency_share(10 * waves(2) + waves(7)) == pytest.approx(100 / 101)
    assert low_frequency_share(np.ones((2, 4, 4, 3))) == 0


def test_white_noise_has_the_share_of_the_frequencies():
    noise = RNG.normal(size=(200, 16, 16, 4))
    assert low_frequency_share(noise) == pytest.approx((9 * 9 - 1) / 255, abs=0.005)


def test_effective_channels_count_directions():
    z = RNG.normal(size=(100, 16, 16, 4))
    assert effective_channels(z) == pytest.approx(4, abs=0.01)
    assert effective_channels(z[..., :1] * np.arange(1, 5)) == pytest.approx(1)
    # Variances 1 and 9: (1 + 9)^2 / (1 + 81).
    assert effective_channels(z[..., :2] * [1, 3]) == pytest.approx(100 / 82, abs=0.01)


def test_cka_knows_no_rotation_or_scale():
    a = RNG.normal(size=(2000, 5)) * np.arange(1, 6)
    rotation = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    assert cka(a, a) == pytest.approx(1)
    assert cka(a, 3 * a @ rotation + 7) == pytest.approx(1)
    assert cka(a, RNG.normal(size=(2000, 5))) < 0.02
    # Of a and its first of two independent channels of equal variance: 1 / sqrt(2).
    b = RNG.normal(size=(200_000, 2))
    assert cka(b, b[:, :1]) == pytest.approx(2**-0.5, abs=0.01)


def test_a_straight_path_has_ratio_1_and_a_detour_more():
    line = jnp.linspace(0, 1, 5)[:, None, None] * jnp.ones((5, 2, 3))
    np.testing.assert_allclose(path_ratio(line), 1, rtol=1e-6)
    detour = jnp.array([[[0.0, 0]], [[3.0, 4]], [[6.0, 0]]])
    np.testing.assert_allclose(path_ratio(detour), 10 / 6)
    np.testing.assert_allclose(path_ratio(jnp.ones((3, 1, 2))), 1)
