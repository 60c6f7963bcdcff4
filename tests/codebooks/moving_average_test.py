import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.codebooks.moving_average import MovingAverage
from pipeline.core.errors import ConfigError
from pipeline.quantization.nearest import nearest

X = jax.random.normal(jax.random.key(1), (40, 2)) + 2.0


def codebook(num_codes=8, **settings):
    return MovingAverage(num_codes=num_codes, dim=2, key=jax.random.key(0), **settings)


def k_means_step(codes, x):
    chosen, x = np.asarray(nearest(x, jnp.asarray(codes))), np.asarray(x)
    return np.stack(
        [
            x[chosen == k].mean(axis=0) if (chosen == k).any() else codes[k]
            for k in range(len(codes))
        ]
    )


@pytest.mark.parametrize("decay", [0.0, 0.99])
def test_the_first_step_is_one_of_k_means_and_unused_codes_keep_their_place(decay):
    book = codebook(decay=decay)
    before = np.asarray(book())
    indices = nearest(X, book())
    unused = np.setdiff1d(np.arange(8), indices)
    assert 0 < len(unused) < 8
    book.follow(X, indices, None)
    np.testing.assert_allclose(book(), k_means_step(before, X), rtol=1e-4)
    np.testing.assert_array_equal(book()[unused], before[unused])


def test_without_decay_every_step_is_one_of_k_means():
    book = codebook(decay=0.0)
    for step in range(3):
        x = jnp.roll(X, step, axis=1)
        expected = k_means_step(np.asarray(book()), x)
        book.follow(x, nearest(x, book()), None)
        np.testing.assert_allclose(book(), expected, rtol=1e-4)


def test_averages_are_those_of_the_weighted_steps():
    book, decay = codebook(num_codes=1, decay=0.5, smoothing=0.0), 0.5
    batches = [X[:10], X[10:40]]
    for batch in batches:
        book.follow(batch, jnp.zeros(len(batch), jnp.int32), None)
    sums = [np.asarray(batch).sum(axis=0) for batch in batches]
    expected = (decay * sums[0] + sums[1]) / (decay * 10 + 30)
    np.testing.assert_allclose(book()[0], expected, rtol=1e-5)


def test_dead_codes_restart_at_vectors_of_the_batch_and_live_ones_stay():
    book = codebook(restart_below=1.0)
    indices = jnp.where(jnp.arange(40) < 20, 3, 5)
    book.follow(X, indices, jax.random.key(2))
    codes, dead = np.asarray(book()), [k for k in range(8) if k not in (3, 5)]
    rows = {tuple(row) for row in np.asarray(X).tolist()}
    assert all(tuple(codes[k].tolist()) in rows for k in dead)
    np.testing.assert_allclose(codes[3], X[:20].mean(axis=0), rtol=1e-4)
    # A restarted code that is then chosen is a code like any other.
    book.follow(X, jnp.full(40, dead[0]), jax.random.key(3))
    assert tuple(book()[dead[0]].tolist()) not in rows


@pytest.mark.parametrize("settings", [dict(decay=1.0), dict(decay=-0.1), dict(smoothing=-1.0)])
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigError, match=r"model\.bottleneck\.codebook"):
        codebook(**settings)
