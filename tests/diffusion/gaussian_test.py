"""Flow matching of Gaussian data against its closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.diffusion import gaussian
from pipeline.diffusion.loss import weighted_error
from pipeline.diffusion.paths.straight import Straight
from pipeline.diffusion.times import Times


def test_the_slope_of_the_best_velocity_is_that_of_a_regression():
    assert gaussian.slope(np.array([0.25]), 0.3)[0] == pytest.approx(0.5882352941)
    rng = np.random.default_rng(0)
    x, e = 0.5 * rng.normal(size=4_000_000), rng.normal(size=4_000_000)
    xt = 0.7 * x + 0.3 * e
    found = np.dot(xt, e - x) / np.dot(xt, xt)
    assert found == pytest.approx(0.58824, abs=0.004)
    error = np.square(e - x - found * xt).mean()
    assert gaussian.best_loss(np.array([0.25]), 0.3) == pytest.approx(error, abs=0.004)


def test_the_loss_of_the_best_velocity_is_the_closed_form():
    values = np.array([0.04, 0.25, 1.0, 3.0])
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(keys[0], (200_000, 4)) * np.sqrt(values)
    noise, t = jax.random.normal(keys[1], x.shape), jnp.full((len(x),), 0.6)
    slopes = jnp.asarray(gaussian.slope(values, 0.6), jnp.float32)

    def loss(factor):
        return weighted_error(
            lambda xt, t: factor * slopes * xt,
            x,
            noise,
            Times(t, jnp.ones_like(t)),
            path=Straight(),
            prediction="velocity",
        ).mean()

    assert float(loss(1.0)) == pytest.approx(gaussian.best_loss(values, 0.6), rel=0.01)
    assert loss(1.1) > loss(1.0) < loss(0.9)


def test_a_direction_without_variance_has_no_error():
    assert gaussian.best_loss(np.array([0.0, -1e-9]), 0.0) == 0.0
    assert gaussian.best_loss(np.array([0.0, 1.0]), 0.5) == pytest.approx(1.0)
