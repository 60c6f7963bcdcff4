"""Local correlation: equal, opposite and unrelated neighbours, and pairs written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.losses.terms.latents.local_correlation import correlation

ONES = jnp.ones(4)


def test_windows_of_one_vector_have_correlation_1():
    tile = jax.random.normal(jax.random.key(0), (4, 3, 3, 8))
    z = jnp.repeat(jnp.repeat(tile, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(correlation(z, ONES, (1, 2, 2)), 1, atol=1e-5)


def test_unrelated_neighbours_have_correlation_0():
    z = jax.random.normal(jax.random.key(0), (4, 32, 32, 16))
    assert np.abs(correlation(z, ONES, (1, 2, 2))).max() < 0.03


def test_it_is_the_mean_over_pairs_written_out():
    z = np.asarray(jax.random.normal(jax.random.key(1), (4, 5, 4, 4, 6)), np.float32)
    plain = (z - z.mean(axis=(0, 1, 2, 3))) / (z.std(axis=(0, 1, 2, 3)) + 1e-6)

    def mean(clip, window):
        found = []
        for t, h, w in itertools.product(*(range(0, s, n) for s, n in zip(clip.shape, window))):
            part = clip[t : t + window[0], h : h + window[1], w : w + window[2]]
            rows = np.corrcoef(part.reshape(-1, part.shape[-1]))
            found.append(rows[np.triu_indices(len(rows), 1)].mean())
        return np.mean(found)

    wanted = [(mean(clip[:1], (1, 2, 2)) + mean(clip[1:], (2, 2, 2))) / 2 for clip in plain]
    np.testing.assert_allclose(correlation(jnp.asarray(z), ONES, (2, 2, 2)), wanted, atol=1e-5)


def test_it_does_not_depend_on_scale_and_shift_of_a_channel_or_on_padding():
    z = jax.random.normal(jax.random.key(2), (4, 4, 4, 6))
    scaled = z * jnp.arange(1.0, 7.0) + jnp.arange(6.0)
    found = correlation(z, ONES, (1, 2, 2))
    np.testing.assert_allclose(correlation(scaled, ONES, (1, 2, 2)), found, atol=1e-4)
    padded = jnp.concatenate([z, 100 + z[:1]])
    mask = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(correlation(padded, mask, (1, 2, 2))[:4], found, atol=1e-5)


def test_windows_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match="does not divide the latents of 1x3x4"):
        correlation(jnp.zeros((4, 3, 4, 2)), ONES, (1, 2, 2))
