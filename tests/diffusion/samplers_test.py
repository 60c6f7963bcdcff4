"""Every sampler carries Gaussian noise to Gaussian data, with the order that it claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_model import exact, exact_quantile

from pipeline.core.errors import ConfigError
from pipeline.diffusion import grids, predictions, samplers
from pipeline.diffusion.guidance import guided
from pipeline.diffusion.likelihood import log_prob
from pipeline.diffusion.paths.cosine import Cosine
from pipeline.diffusion.paths.geometric import Geometric
from pipeline.diffusion.paths.straight import Straight
from pipeline.diffusion.paths.variance_preserving import VariancePreserving

MEAN, VARIANCE = 0.7, 0.25
DETERMINISTIC = ["ddim", "dpm_solver", "euler", "heun"]
START = jnp.asarray([[1.0], [-1.0]])


def run(name, path, steps, start=START, key=None, **grid):
    split = exact(path, MEAN, VARIANCE)
    return samplers.sample(name, path, split, start, grids.times(path, steps, **grid), key=key)


def test_every_sampler_is_here():
    assert samplers.names() == sorted(["ddpm", *DETERMINISTIC])


@pytest.mark.parametrize(
    ("name", "steps", "wanted"),
    [
        ("euler", 50, (1.1854, 0.2146)),
        ("euler", 10, (1.1308, 0.2693)),
        ("heun", 25, (1.2003, 0.1997)),
        ("heun", 5, (1.2044, 0.1956)),
    ],
)
def test_published_endpoints_on_the_straight_path(name, steps, wanted):
    np.testing.assert_allclose(run(name, Straight(), steps)[:, 0], wanted, atol=1e-4)


@pytest.mark.parametrize("path", [Straight(), VariancePreserving(), Geometric(), Cosine()])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_samplers_follow_the_flow(name, path):
    spacing = "uniform" if isinstance(path, Straight) else "log_snr"
    end = run(name, path, 400, spacing=spacing)
    wanted = exact_quantile(path, MEAN, VARIANCE, START, path.latest, path.earliest)
    np.testing.assert_allclose(end, wanted, atol=0.03 if name in ("ddim", "euler") else 4e-3)


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm_solver", 2)]
)
def test_the_order_of_convergence(name, order):
    # Between inner times, where the flow is smooth, and without errors that cancel.
    path = VariancePreserving()
    wanted = exact_quantile(path, MEAN, VARIANCE, START, 0.6, 0.2)
    errors = []
    for steps in (16, 32):
        times = jnp.linspace(0.6, 0.2, steps + 1)
        end = samplers.sample(name, path, exact(path, MEAN, VARIANCE), START, times)
        errors.append(float(abs(end - wanted).max()))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


@pytest.mark.parametrize("path", [Straight(), VariancePreserving()])
def test_ancestral_samples_have_the_moments_of_the_data(path):
    noise = jax.random.normal(jax.random.key(1), (20_000, 1))
    samples = run("ddpm", path, 1000, noise, jax.random.key(2))
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(samples.var()) == pytest.approx(VARIANCE, rel=0.05)


def test_inversion_by_ddim_and_sampling_return_the_image():
    path = VariancePreserving()
    split = exact(path, MEAN, VARIANCE)
    image = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    falling = grids.times(path, 1000, spacing="log_snr")
    code = samplers.sample("ddim", path, split, image, falling[::-1])
    assert float(abs(code - image).max()) > 0.3
    back = samplers.sample("ddim", path, split, code, falling)
    np.testing.assert_allclose(back, image, atol=0.02)


def test_a_sampler_with_noise_needs_a_key_and_is_a_function_of_it():
    path = VariancePreserving()
    with pytest.raises(ConfigError, match="needs a key"):
        run("ddpm", path, 4)
    one, again, other = (run("ddpm", path, 4, key=jax.random.key(k)) for k in (0, 0, 1))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_guidance_of_one_is_none_and_guidance_of_zero_is_unconditional():
    conditional, unconditional = (lambda x, t: x * 2.0), (lambda x, t: x)
    x, t = jnp.ones((2, 3)), jnp.asarray([0.2, 0.8])
    assert guided(conditional, unconditional, 1) is conditional
    assert np.array_equal(guided(conditional, unconditional, 0)(x, t), unconditional(x, t))
    within = guided(conditional, unconditional, 3.0, earliest=0.5)(x, t)
    np.testing.assert_allclose(within, [[2.0] * 3, [4.0] * 3])


def test_grids():
    path = VariancePreserving()
    even = grids.times(path, 4)
    np.testing.assert_allclose(even, [1, 0.75, 0.5, 0.25, 1e-5], atol=1e-4)
    ratios = path.log_snr(grids.times(path, 8, spacing="log_snr"))
    np.testing.assert_allclose(np.diff(ratios), np.diff(ratios)[0], rtol=2e-2)
    shifted = grids.times(Straight(), 2, spacing="shifted", shift=3.0)
    np.testing.assert_allclose(shifted, [1, 0.75, 0], atol=1e-6)
    with pytest.raises(ConfigError, match="infinite at its ends"):
        grids.times(Straight(), 4, spacing="log_snr")
    with pytest.raises(ConfigError, match="uniform"):
        grids.times(path, 4, spacing="odd")
    with pytest.raises(ConfigError, match="at least 1"):
        grids.times(path, 0)


@pytest.mark.parametrize(
    ("path", "mean", "error"),
    [(Straight(), MEAN, 1e-3), (VariancePreserving(), 0.0, 1e-3), (Geometric(), 0.0, 5e-3)],
)
def test_the_likelihood_of_gaussian_data(path, mean, error):
    # Where alpha is not 0 at the end, N(0, I) is not quite the marginal of data with a mean; the
    # geometric path ends at alpha^2 = 0.001.
    x = jnp.asarray([[0.1, 0.9], [1.4, -0.3], [0.7, 0.7]])
    split = exact(path, mean, VARIANCE)
    exactly = jax.scipy.stats.norm.logpdf(x, mean, VARIANCE**0.5).sum(axis=1)
    np.testing.assert_allclose(log_prob(path, split, x), exactly, atol=error)
    # The flow of equal variances has the same derivative along every vector of signs.
    estimated = log_prob(path, split, x, key=jax.random.key(0))
    np.testing.assert_allclose(estimated, exactly, atol=error)


def test_a_likelihood_does_not_depend_on_its_batch():
    path = VariancePreserving()
    x = jnp.asarray([[0.1, 0.9], [4.0, -3.0]])
    split = exact(path, MEAN, VARIANCE)
    both, alone = log_prob(path, split, x), log_prob(path, split, x[:1])
    np.testing.assert_allclose(both[:1], alone, atol=1e-6)


def test_a_network_of_velocities_gives_the_same_samples():
    path = Straight()
    split = exact(path, MEAN, VARIANCE)

    def velocity(x_t, t):
        data, noise = split(x_t, t)
        return predictions.target("velocity", path, data, noise, t)

    times = grids.times(path, 8)
    of_velocity = predictions.splitter("velocity", path, velocity)
    np.testing.assert_allclose(
        samplers.sample("heun", path, of_velocity, START, times),
        samplers.sample("heun", path, split, START, times),
        atol=1e-5,
    )
