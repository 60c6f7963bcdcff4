"""Every path: its marginals, its stochastic differential equation and its transitions agree."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_model import PATHS

from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.diffusion import paths
from pipeline.diffusion.paths.cosine import Cosine
from pipeline.diffusion.paths.geometric import Geometric
from pipeline.diffusion.paths.sub_variance_preserving import SubVariancePreserving
from pipeline.diffusion.paths.variance_preserving import VariancePreserving

TIMES = jnp.asarray([0.05, 0.3, 0.6, 0.95])


@pytest.fixture(params=PATHS, ids=lambda path: type(path).__name__)
def path(request):
    return request.param


def test_every_file_has_a_path_here():
    modules = set(modules_of(paths.PACKAGE)) - {"base"}
    assert modules == {type(path).__module__.rpartition(".")[2] for path in PATHS}
    for name in modules:
        assert importlib.import_module(f"{paths.PACKAGE}.{name}").__doc__


def test_a_path_begins_at_data_and_ends_at_noise(path):
    first, last = jnp.float32(path.earliest), jnp.float32(path.latest)
    assert path.alpha(first) == pytest.approx(1, abs=1e-5) and path.sigma(first) < 0.006
    assert path.alpha(last) < 0.04 and path.sigma(last) == pytest.approx(1, abs=1e-3)
    assert np.all(np.diff(path.log_snr(TIMES)) < 0)


def test_rates_are_derivatives(path):
    step = 1e-2
    for value, rate in ((path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate)):
        difference = (value(TIMES + step) - value(TIMES - step)) / (2 * step)
        # The second-order remainder of the difference, and rounding.
        np.testing.assert_allclose(rate(TIMES), difference, rtol=0.02, atol=2e-3)


def test_the_equation_has_the_marginals_of_the_path(path):
    # d var / dt = 2 f var + g^2 from x_0 = x exactly, in steps of Euler's method from `first`.
    steps = jnp.linspace(0.05, 0.95, 4001)
    f, g2 = np.asarray(path.drift(steps)), np.asarray(path.diffusion(steps))
    variance, scale = float(path.sigma(steps[0]) ** 2), float(path.alpha(steps[0]))
    for k in range(len(steps) - 1):
        dt = float(steps[k + 1] - steps[k])
        middle = float(f[k] + f[k + 1]) / 2
        variance += dt * (2 * middle * variance + float(g2[k] + g2[k + 1]) / 2)
        scale *= np.exp(dt * middle)
    assert variance == pytest.approx(float(path.sigma(steps[-1]) ** 2), rel=5e-3)
    assert scale == pytest.approx(float(path.alpha(steps[-1])), rel=5e-3)


def test_two_transitions_are_one(path):
    r, s, t = (jnp.float32(value) for value in (0.2, 0.5, 0.8))
    first, second, whole = path.transition(r, s), path.transition(s, t), path.transition(r, t)
    assert second.scale * first.scale == pytest.approx(float(whole.scale), rel=1e-5)
    together = second.scale**2 * first.variance + second.variance
    assert together == pytest.approx(float(whole.variance), rel=1e-5)
    # From the data, a transition is the marginal.
    marginal = path.transition(jnp.float32(path.earliest), t)
    variance = marginal.scale**2 * path.sigma(jnp.float32(path.earliest)) ** 2 + marginal.variance
    assert variance == pytest.approx(float(path.sigma(t) ** 2), rel=1e-5)


def test_published_values():
    vp = VariancePreserving()
    assert float(vp.sigma(jnp.float32(0.01)) ** 2) == pytest.approx(0.00199301, rel=1e-5)
    assert float(vp.alpha(jnp.float32(1)) ** 2) == pytest.approx(4.32e-5, rel=1e-3)
    # DDPM's product of (1 - beta) over 1,000 betas from 1e-4 to 2e-2.
    products = np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000))
    np.testing.assert_allclose(vp.alpha(jnp.float32(0.5)) ** 2, products[499], rtol=0.02)
    # The variance-preserving paths preserve it, the cosine's among them.
    for each in (vp, Cosine(), Geometric()):
        total = each.alpha(TIMES) ** 2 + each.sigma(TIMES) ** 2
        np.testing.assert_allclose(total, 1, atol=4e-5)
    assert np.all(SubVariancePreserving().sigma(TIMES) <= vp.sigma(TIMES))


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (dict(name="variance_preserving.VariancePreserving", first=0.0), "positive"),
        (dict(name="cosine.Cosine", offset=1.5), "0.008"),
        (dict(name="geometric.Geometric", largest=1.5), "between 0 and 1"),
        (dict(name="crooked.Crooked"), "crooked"),
    ],
)
def test_wrong_paths_are_refused(recipe, words):
    with pytest.raises(ConfigError, match=words):
        paths.create(recipe)
