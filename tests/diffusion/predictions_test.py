"""Predictions give each other, and the loss of each has its minimum at the exact score."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_model import PATHS, exact, four_points

from pipeline.core.errors import ConfigError
from pipeline.diffusion import loss, predictions, weightings
from pipeline.diffusion.paths.straight import Straight
from pipeline.diffusion.paths.variance_preserving import VariancePreserving
from pipeline.diffusion.times import Times

NAMES = sorted(predictions.COEFFICIENTS)
KEY = jax.random.key(0)


@pytest.fixture(params=PATHS, ids=lambda path: type(path).__name__)
def path(request):
    return request.param


@pytest.fixture
def made(path):
    """x, its noise, times and x_t."""
    x, noise = jax.random.normal(KEY, (2, 4, 3, 2))
    t = jnp.asarray([0.1, 0.4, 0.7, 0.9])
    return x, noise, t, path.at(x, noise, t)


@pytest.mark.parametrize("name", NAMES)
def test_the_target_gives_data_and_noise(path, made, name):
    x, noise, t, x_t = made
    target = predictions.target(name, path, x, noise, t)
    data, of_noise = predictions.parts(name, path, target, x_t, t)
    np.testing.assert_allclose(data, x, atol=2e-4)
    np.testing.assert_allclose(of_noise, noise, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_conversions_invert_each_other(path, made, name):
    _, _, t, x_t = made
    prediction = jax.random.normal(jax.random.key(1), x_t.shape)
    for other in NAMES:
        there = predictions.convert(name, other, path, prediction, x_t, t)
        back = predictions.convert(other, name, path, there, x_t, t)
        np.testing.assert_allclose(back, prediction, rtol=1e-3, atol=2e-3)


def test_velocities_are_those_of_the_papers(made):
    x, noise, t, _ = made
    np.testing.assert_allclose(
        predictions.target("velocity", Straight(), x, noise, t), noise - x, atol=1e-6
    )
    # On a circle alpha = cos(phi), v = d x_t / d phi; an unscaled velocity is its multiple.
    vp = VariancePreserving()
    v = predictions.target("v", vp, x, noise, t)
    velocity = predictions.target("velocity", vp, x, noise, t)
    rate = vp.sigma_rate(t) / vp.alpha(t)
    np.testing.assert_allclose(velocity, rate[:, None, None] * v, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_gaussian_data_minimizes_the_loss(path, name):
    # Among predictions scale * it + shift: its error is quadratic, with its minimum at 1 and 0.
    mean, variance = 0.7, 0.25
    x, noise = four_points(mean, variance)
    times = Times(jnp.full(4, 0.6), jnp.ones(4))
    split = exact(path, mean, variance)

    def error(scale, shift):
        def predict(x_t, t):
            data, of_noise = split(x_t, t)
            return scale * predictions.target(name, path, data, of_noise, t) + shift

        return loss.weighted_error(predict, x, noise, times, path=path, prediction=name).mean()

    best = float(error(1.0, 0.0))
    slopes = jax.grad(error, argnums=(0, 1))(1.0, 0.0)
    np.testing.assert_allclose(slopes, 0, atol=2e-4 * max(1, best))
    assert float(error(0.8, 0.0)) > best and float(error(1.0, 0.2)) > best


def test_weightings_are_of_the_noise_whatever_is_predicted(path, made):
    x, noise, t, x_t = made
    times = Times(t, jnp.ones_like(t))
    wrong = noise + 0.1 * jax.random.normal(jax.random.key(2), noise.shape)
    for weighting in weightings.WEIGHTINGS:
        losses = []
        for name in NAMES:
            predicted = predictions.convert("noise", name, path, wrong, x_t, t)
            losses.append(
                loss.weighted_error(
                    lambda x_t, t, predicted=predicted: predicted,
                    x,
                    noise,
                    times,
                    path=path,
                    prediction=name,
                    weighting=weighting,
                )
            )
        np.testing.assert_allclose(losses, [losses[0]] * len(NAMES), rtol=2e-2, atol=1e-5)


def test_the_data_weighting_weighs_the_error_of_the_data(path):
    t = jnp.asarray([0.2, 0.8])
    np.testing.assert_allclose(weightings.in_prediction("data", "data", path, t), 1, rtol=1e-4)
    np.testing.assert_allclose(weightings.in_prediction("noise", "noise", path, t), 1, rtol=1e-4)
    rate = jax.vmap(jax.grad(path.log_snr))(t)
    np.testing.assert_allclose(weightings.likelihood(path, t), -rate / 2, rtol=1e-4)


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="velocity"):
        predictions.check("speed")
    with pytest.raises(ConfigError, match="min_snr"):
        weightings.in_prediction("heavy", "noise", Straight(), jnp.zeros(1))
