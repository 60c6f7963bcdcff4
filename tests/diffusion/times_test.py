"""Times are drawn as stated, and weighted means of any draw estimate one integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_model import PATHS, four_points

from pipeline.core.errors import ConfigError
from pipeline.diffusion import times
from pipeline.diffusion.cross_entropy import cross_entropy
from pipeline.diffusion.mixed_score import mixed_noise
from pipeline.diffusion.paths.straight import Straight
from pipeline.diffusion.paths.variance_preserving import VariancePreserving

WEIGHTED = sorted(set(times.DRAWS) - {"logit_normal"})
KEY = jax.random.key(0)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_means_estimate_the_integral(path, name):
    t, weight = times.draw(name, path, KEY, 20_000, earliest=0.3, latest=0.6)
    assert np.all(t >= 0.3 - 1e-6) and np.all(t <= 0.6 + 1e-6)
    grid = np.linspace(0.3, 0.6, 100_001)
    wanted = np.trapezoid(np.cos(3 * grid), grid)
    assert float((weight * jnp.cos(3 * t)).mean()) == pytest.approx(wanted, abs=2e-4)


def test_numbers_of_a_batch_are_uniform_and_spread():
    numbers = np.stack([times.spread(jax.random.key(k), 8) for k in range(500)])
    assert np.allclose(np.diff(np.sort(numbers, axis=1), axis=1), 1 / 8, atol=1e-6)
    assert np.all(abs(numbers.mean(axis=0) - 0.5) < 0.06)


def test_logit_normal_times_have_their_quantiles():
    t = times.draw("logit_normal", Straight(), KEY, 10_001).t
    quantiles = np.quantile(t, [0.1587, 0.5, 0.8413])
    np.testing.assert_allclose(quantiles, 1 / (1 + np.exp([1.0, 0.0, -1.0])), atol=1e-3)


def of_standard_normal(name, earliest, count):
    """Return estimates [count] of the cross-entropy of N(1.3, 0.5) to N(0, 1), a time each.

    The mixed score leaves all to N(0, 1). x and e are at four points, whose mean is exact.
    """
    path = VariancePreserving()
    drawn = times.draw(name, path, KEY, count, earliest=earliest)
    repeated = times.Times(*(jnp.repeat(value, 4) for value in drawn))
    x, noise = (jnp.tile(value, (count, 1)) for value in four_points(1.3, 0.5))
    predict = mixed_noise(path, lambda x_t, t: jnp.ones_like(x_t), jnp.float32(-1e9))
    values = cross_entropy(predict, x, noise, repeated, path=path, earliest=earliest)
    return values.reshape(count, 4).mean(axis=1)


@pytest.mark.parametrize(("earliest", "wanted"), [(0.01, 2.0127054), (1e-5, 2.0138907)])
def test_the_cross_entropy_of_a_gaussian_to_the_standard_one(earliest, wanted):
    # (log(2 pi) + m^2 + v) / 2 = 2.0139385 as `earliest` goes to 0.
    values = of_standard_normal("log_variance", earliest, 20_000)
    assert float(values.mean()) == pytest.approx(wanted, abs=1e-3)


def test_the_importance_sampler_of_the_likelihood_reduces_its_variance():
    deviations = {
        name: float(of_standard_normal(name, 0.01, 20_000).std())
        for name in ("uniform", "log_variance")
    }
    assert deviations == pytest.approx({"uniform": 7.57, "log_variance": 0.86}, rel=0.02)


def test_wrong_draws_are_refused():
    with pytest.raises(ConfigError, match="log_variance"):
        times.draw("early", Straight(), KEY, 4)
    with pytest.raises(ConfigError, match="must rise"):
        times.draw("uniform", Straight(), KEY, 4, earliest=0.5, latest=0.2)
