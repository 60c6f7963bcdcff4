"""Discretized mixture of logistics: normalization, gradients at extremes, and samples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.pixels import to_uint8
from pipeline.distributions.logistic_mixture import DiscretizedLogisticMixture


def parameters(
    means, log_scales, coefficients=0.0, logits=0.0, mixtures: int = 1, shape=(1, 1, 1)
) -> jax.Array:
    """Return parameters [*shape 10 m] with these values for all channels and mixtures."""
    part = [
        jnp.broadcast_to(jnp.asarray(a, jnp.float32), (3, mixtures))
        for a in (means, log_scales, coefficients)
    ]
    rest = jnp.concatenate(part, axis=-1).reshape(-1)
    vector = jnp.concatenate(
        [jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (mixtures,)), rest]
    )
    return jnp.broadcast_to(vector, (*shape, vector.size))


def probabilities(params: jax.Array, bits: int, channel: int, before=(0, 0, 0), **kw) -> np.ndarray:
    """Return p(value of `channel`) for every value, up to factors of later channels."""
    values = np.arange(2**bits, dtype=np.uint8) << (8 - bits)
    image = np.zeros((values.size, 1, 1, 3), np.uint8)
    image[:, 0, 0] = before
    image[:, 0, 0, channel] = values
    params = jnp.broadcast_to(params, (values.size, *params.shape[1:]))
    return np.exp(np.asarray(log_prob(params, image, bits, **kw), np.float64))


@functools.partial(jax.jit, static_argnames=("bits", "authors_low_bit"))
def log_prob(params, image, bits: int, authors_low_bit: bool = False):
    """Return the log-probability of images; one program for all values of the parameters."""
    return DiscretizedLogisticMixture(params, bits, authors_low_bit).log_prob(image)


@pytest.mark.parametrize("bits", [8, 5, 1])
@pytest.mark.parametrize("mean", [-30.0, -1.0, -0.3, 0.0, 1.0, 2.0, 1e4])
@pytest.mark.parametrize("log_scale", [-20.0, -7.0, -3.0, 0.0, 5.0, 60.0])
def test_sums_to_one(bits, mean, log_scale):
    # Red and green are certain (a mean far below, at value 0), which leaves the distribution of
    # blue.
    means = jnp.array([[-1e6], [-1e6], [mean]])
    scales = jnp.array([[0.0], [0.0], [log_scale]])
    total = probabilities(parameters(means, scales), bits, channel=2).sum()
    np.testing.assert_allclose(total, 1, atol=2e-5)


def test_sums_to_one_over_all_colours():
    params = jax.random.normal(jax.random.key(0), (1, 1, 1, 40)) * 2
    grid = np.stack(np.meshgrid(*[np.arange(8, dtype=np.uint8) << 5] * 3), axis=-1).reshape(
        -1, 1, 1, 3
    )
    likelihood = DiscretizedLogisticMixture(jnp.broadcast_to(params, (len(grid), 1, 1, 40)), bits=3)
    total = np.exp(np.asarray(likelihood.log_prob(jnp.asarray(grid)), np.float64)).sum()
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_the_authors_low_bit_likelihood_does_not_sum_to_one():
    means, scales = jnp.array([[-1e6], [-1e6], [0.0]]), jnp.array([[0.0], [0.0], [-3.0]])
    total = probabilities(parameters(means, scales), 5, channel=2, authors_low_bit=True).sum()
    np.testing.assert_allclose(total, 1.028, atol=0.002)
    wide = parameters(jnp.array([[-1e6], [-1e6], [1.0]]), jnp.zeros((3, 1)))
    np.testing.assert_allclose(
        probabilities(wide, 5, channel=2, authors_low_bit=True).sum(), 0.5, atol=0.02
    )


@pytest.mark.parametrize("bits", [8, 5])
@pytest.mark.parametrize(
    "mean, log_scale", [(0.0, -7.0), (1e4, -7.0), (-1e4, 60.0), (0.5, 80.0), (-1.0, -7.0)]
)
def test_gradients_are_finite_at_the_extremes(bits, mean, log_scale):
    values = jnp.arange(256, dtype=jnp.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    params = parameters(mean, log_scale, coefficients=3.0, mixtures=2, shape=(1, 16, 16))

    value, gradient = jax.value_and_grad(lambda params: log_prob(params, values, bits).sum())(
        params
    )
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(gradient))


def test_matches_the_plain_formula_where_that_is_stable():
    params = jax.random.normal(jax.random.key(0), (2, 4, 4, 30)) * jnp.float32(0.5)
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    p, x = np.asarray(params, np.float64), image / 127.5 - 1
    logits, rest = p[..., :3], p[..., 3:].reshape(2, 4, 4, 3, 9)
    mean, log_scale, c = rest[..., :3].copy(), rest[..., 3:6], np.tanh(rest[..., 6:])
    mean[..., 1, :] += c[..., 0, :] * x[..., :1]
    mean[..., 2, :] += c[..., 1, :] * x[..., :1] + c[..., 2, :] * x[..., 1:2]

    def cdf(edge):
        return 1 / (1 + np.exp(-(edge[..., None] - mean) / np.exp(log_scale)))

    upper = np.where((image == 255)[..., None], 1, cdf(x + 1 / 255))
    lower = np.where((image == 0)[..., None], 0, cdf(x - 1 / 255))
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    expected = np.log((weights * (upper - lower).prod(axis=-2)).sum(axis=-1)).sum(axis=(1, 2))
    ours = DiscretizedLogisticMixture(params).log_prob(jnp.asarray(image))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("bits", [8, 2])
def test_samples_follow_the_probabilities(bits):
    params = parameters(
        jnp.array([[-0.8, 0.9], [0.2, -0.3], [0.0, 0.1]]),
        -1.0,
        jnp.array([[0.9, -0.5], [0.3, 0.2], [-0.7, 0.4]]),
        logits=jnp.array([0.3, -0.4]),
        mixtures=2,
        shape=(1, 128, 128),
    )
    likelihood = DiscretizedLogisticMixture(params, bits)
    sample = likelihood.sample(jax.random.key(0))
    value = np.asarray(to_uint8(sample)) >> (8 - bits)
    # Every sample lies at a value's position.
    np.testing.assert_allclose(sample, value * (2 / (2**bits - 1)) - 1, atol=1e-6)
    if bits == 2:
        grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(
            -1, 1, 1, 3
        )
        each = DiscretizedLogisticMixture(jnp.broadcast_to(params[:, :1, :1], (64, 1, 1, 20)), bits)
        expected = np.exp(np.asarray(each.log_prob(jnp.asarray((grid << 6).astype(np.uint8)))))
        index = value.reshape(-1, 3).astype(int) @ np.array([16, 4, 1])
        found = np.bincount(index, minlength=64) / index.size
        np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(0.25 / index.size))


def test_mean_matches_samples_without_clipping():
    params = parameters(
        jnp.array([[0.1, -0.2], [0.0, 0.3], [0.2, -0.1]]),
        -4.0,
        jnp.array([[0.9, -0.5], [0.3, 0.2], [-0.7, 0.4]]),
        logits=jnp.array([0.3, -0.4]),
        mixtures=2,
        shape=(1, 128, 128),
    )
    likelihood = DiscretizedLogisticMixture(params)
    found = likelihood.sample(jax.random.key(1)).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(likelihood.mean()[0, 0, 0], found, atol=0.01)


def test_mean_stays_in_range():
    params = parameters(50.0, 0.0, coefficients=9.0, mixtures=3, shape=(2, 3, 3))
    np.testing.assert_array_equal(DiscretizedLogisticMixture(params).mean(), np.ones((2, 3, 3, 3)))


def test_low_bit_depths_use_the_leading_bits_alone():
    params = jax.random.normal(jax.random.key(0), (2, 4, 4, 20))
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    likelihood = DiscretizedLogisticMixture(params, bits=5)
    np.testing.assert_array_equal(
        likelihood.log_prob(jnp.asarray(image)),
        likelihood.log_prob(jnp.asarray(image & 0b11111000)),
    )
