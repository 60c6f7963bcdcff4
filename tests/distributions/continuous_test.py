"""Gaussians and likelihoods: normalization, gradients at extremes, samples and means."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.types import Latent
from pipeline.distributions import continuous

LOCATIONS = [-3.0, -1.0, -0.3, 0.0, 0.999, 1.0, 20.0]
LOG_SCALES = [-20.0, -7.0, -4.0, -1.0, 0.0, 5.0]


def every_value(bits: int):
    """Return a one-pixel image for each value, [k 1 1 1] uint8."""
    return jnp.asarray(np.arange(2**bits) << (8 - bits), jnp.uint8)[:, None, None, None]


def one_pixel(likelihood, bits: int, **parameters):
    """Return the likelihood of `every_value`, with the same parameters for each."""
    shape = (2**bits, 1, 1, 1)
    return likelihood(
        **{name: jnp.broadcast_to(value, shape) for name, value in parameters.items()}, bits=bits
    )


@functools.partial(jax.jit, static_argnums=2)  # one program for all parameters
def total_probability(location, log_scale, bits: int):
    likelihood = one_pixel(
        continuous.DiscretizedGaussian, bits, location=location, log_scale=log_scale
    )
    return jnp.exp(likelihood.log_prob(every_value(bits))).sum()


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.value_and_grad, argnums=(1, 2))
def total_log_prob(name: str, location, log_scale):
    return getattr(continuous, name)(location, log_scale).log_prob(every_value(8)).sum()


def test_gaussian_kl_agrees_with_sampling_and_is_zero_only_at_the_prior():
    mean, logvar, prior_mean, prior_logvar = (
        jnp.full((200_000,), v) for v in (0.4, -1.0, -0.2, 0.5)
    )
    z = continuous.gaussian_sample(jax.random.key(0), mean, logvar)
    estimate = continuous.gaussian_log_prob(z, mean, logvar) - continuous.gaussian_log_prob(
        z, prior_mean, prior_logvar
    )
    kl = continuous.gaussian_kl(mean, logvar, prior_mean, prior_logvar)
    np.testing.assert_allclose(estimate.mean(), kl[0], rtol=0.01)
    assert continuous.gaussian_kl(mean, logvar, mean, logvar).max() == 0
    # Near the prior the textbook form, (mu^2 + s^2 - 1 - log s^2) / 2, would cancel to 0.
    near = continuous.gaussian_kl(jnp.array([0.0, 1e-4]), jnp.array([1e-4, 0.0]))
    np.testing.assert_allclose(near, [2.5e-9, 5e-9], rtol=0.01)


def test_clipped_logvar_keeps_the_kl_and_its_gradient_finite():
    def kl(x):
        return continuous.gaussian_kl(x, continuous.clip_logvar(x)).sum()

    extremes = jnp.array([-1e4, -30.0, 0.0, 20.0, 1e4])
    assert np.isfinite(kl(extremes)) and np.isfinite(jax.grad(kl)(extremes)).all()


def test_temperature_scales_the_deviation():
    mean, logvar, key = jnp.full((5,), 2.0), jnp.full((5,), 0.3), jax.random.key(0)
    full = continuous.gaussian_sample(key, mean, logvar) - mean
    half = continuous.gaussian_sample(key, mean, logvar, 0.5) - mean
    np.testing.assert_allclose(half, full / 2, rtol=1e-5)
    np.testing.assert_array_equal(continuous.gaussian_sample(key, mean, logvar, 0.0), mean)


def test_log_ratio_averages_to_minus_the_kl_and_needs_no_prior_when_standard():
    shape = (4, 50_000)
    mean, logvar = jnp.full(shape, 0.5), jnp.full(shape, -0.7)
    z = continuous.gaussian_sample(jax.random.key(1), mean, logvar)
    kl = continuous.gaussian_kl(mean, logvar)
    bare = Latent(z, kl, mean, logvar)
    explicit = Latent(
        z, kl, mean, logvar, prior_mean=jnp.zeros(shape), prior_logvar=jnp.zeros(shape)
    )
    np.testing.assert_allclose(continuous.log_ratio(bare), -kl.sum(axis=1), rtol=0.02)
    np.testing.assert_array_equal(continuous.log_ratio(bare), continuous.log_ratio(explicit))
    with pytest.raises(ValueError, match="Gaussian latent"):
        continuous.log_ratio(Latent(z, kl))


@pytest.mark.parametrize("bits", [8, 5, 1])
@pytest.mark.parametrize("location", LOCATIONS)
def test_discretized_gaussian_sums_to_one(bits, location):
    for log_scale in LOG_SCALES:
        total = total_probability(location, log_scale, bits)
        # A mean 20 away at the smallest scale has its mass on the last value.
        np.testing.assert_allclose(total, 1.0, atol=2e-4, err_msg=f"{location=} {log_scale=}")


@pytest.mark.parametrize("bits", [8, 5])
def test_categorical_and_binary_bernoulli_sum_to_one(bits):
    logits = jnp.broadcast_to(
        10 * jax.random.normal(jax.random.key(0), (2**bits,)), (2**bits, 1, 1, 1, 2**bits)
    )
    categorical = continuous.Categorical(logits, bits)
    np.testing.assert_allclose(
        jnp.exp(categorical.log_prob(every_value(bits))).sum(), 1.0, rtol=1e-5
    )
    two = jnp.array([0, 255], jnp.uint8)[:, None, None, None]
    for logit in (-30.0, -0.3, 0.0, 4.0):
        binary = continuous.Bernoulli(jnp.full((2, 1, 1, 1), logit), binarize=True)
        np.testing.assert_allclose(jnp.exp(binary.log_prob(two)).sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["DiscretizedGaussian", "Gaussian"])
@pytest.mark.parametrize("log_scale", LOG_SCALES)
def test_gaussian_gradients_are_finite_at_extremes(name, log_scale):
    shape = every_value(8).shape
    for location in [*LOCATIONS, 1e4]:
        value, gradients = total_log_prob(name, np.full(shape, location), np.full(shape, log_scale))
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)


def test_bernoulli_and_categorical_gradients_are_finite_at_extremes():
    image = every_value(8)
    for logit in (-1e4, 0.0, 1e4):
        bernoulli = jax.grad(lambda x: continuous.Bernoulli(x).log_prob(image).sum())
        assert np.isfinite(bernoulli(jnp.full(image.shape, logit))).all()
        categorical = jax.grad(lambda x: continuous.Categorical(x).log_prob(image).sum())
        assert np.isfinite(categorical(jnp.zeros((256, 1, 1, 1, 256)).at[..., 3].set(logit))).all()


def test_density_is_the_midpoint_rule_of_the_mass():
    mass = one_pixel(continuous.DiscretizedGaussian, 8, location=0.1, log_scale=-2.0)
    density = one_pixel(continuous.Gaussian, 8, location=0.1, log_scale=-2.0)
    middle = slice(20, 236)
    np.testing.assert_allclose(
        mass.log_prob(every_value(8))[middle], density.log_prob(every_value(8))[middle], rtol=1e-3
    )


@pytest.mark.parametrize("name", ["DiscretizedGaussian", "Gaussian"])
def test_optimal_variance_is_the_mean_squared_error(name):
    image = jnp.asarray(np.random.default_rng(0).integers(90, 166, (2, 8, 8, 3)), jnp.uint8)
    location = jnp.full(image.shape, 0.05)
    mse = jnp.mean(jnp.square(continuous.position(image) - location))
    at_optimum = jax.grad(
        lambda s: getattr(continuous, name)(location, s).log_prob(image).sum() / image.size
    )(0.5 * jnp.log(mse))
    np.testing.assert_allclose(at_optimum, 0.0, atol=1e-3)


def test_bernoulli_is_the_cross_entropy_of_grey_values():
    image = jnp.array([[0, 51], [204, 255]], jnp.uint8).reshape(1, 2, 2, 1)
    p, x = 0.3, np.array([0.0, 0.2, 0.8, 1.0])
    likelihood = continuous.Bernoulli(jnp.full(image.shape, math.log(p / (1 - p))))
    expected = (x * np.log(p) + (1 - x) * np.log(1 - p)).sum()
    np.testing.assert_allclose(likelihood.log_prob(image), [expected], rtol=1e-6)


@pytest.mark.parametrize("bits", [8, 5])
def test_samples_follow_the_probabilities_and_average_to_the_mean(bits):
    shape = (4000, 2, 2, 1)
    location = jnp.full(shape, 0.2)
    logits = jnp.zeros((*shape, 2**bits)).at[..., 3].set(6.0)
    for likelihood in (
        continuous.DiscretizedGaussian(location, jnp.float32(-2.0), bits),
        continuous.Gaussian(location, jnp.float32(-2.0), bits),
        continuous.Bernoulli(jnp.full(shape, 0.7)),
        continuous.Categorical(logits, bits),
    ):
        sample = likelihood.sample(jax.random.key(0))
        assert sample.shape == shape and np.abs(sample).max() <= 1
        np.testing.assert_allclose(sample.mean(), likelihood.mean().mean(), atol=0.03)


def test_likelihoods_pass_through_jit_with_their_settings():
    @jax.jit
    def make(x):
        return continuous.DiscretizedGaussian(x, jnp.float32(0.0), bits=5)

    assert make(jnp.zeros((1, 2, 2, 3))).bits == 5


@pytest.mark.parametrize("bits", [8, 5, 1])
def test_targets_span_black_to_white_at_any_depth(bits):
    image = every_value(bits)
    spread = np.linspace(-1, 1, 2**bits)[:, None, None, None]
    for name in ("DiscretizedGaussian", "Gaussian"):
        likelihood = getattr(continuous, name)(jnp.zeros(image.shape), jnp.float32(0.0), bits)
        np.testing.assert_allclose(likelihood.target(image), spread, atol=1e-6)
    categorical = continuous.Categorical(jnp.zeros((*image.shape, 2**bits)), bits)
    np.testing.assert_allclose(categorical.target(image), spread, atol=1e-6)
    binary = continuous.Bernoulli(jnp.zeros(image.shape), binarize=True).target(image)
    np.testing.assert_array_equal(binary, np.where(np.asarray(image) > 127, 1, -1))
