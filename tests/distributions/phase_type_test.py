"""Phase-type densities: closed forms, integrals, moments, and tails where exp(A x) underflows."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.stats

from pipeline.distributions.phase_type import PhaseType, log_density

ALPHA, RATES = np.array([0.2, 0.5, 0.3]), np.array([1.0, 2.0, 3.0])
log_densities = jax.jit(
    lambda x, alpha, rates: log_density(
        x, jnp.broadcast_to(jnp.log(alpha), (*x.shape, 3)), jnp.broadcast_to(rates, (*x.shape, 3))
    )
)


def test_the_density_is_the_matrix_exponentials_and_integrates_to_one():
    x = np.linspace(0, 40, 20_001, dtype=np.float32)
    found = np.asarray(log_densities(x, ALPHA, RATES), np.float64)
    density = np.exp(found)
    assert abs(np.trapezoid(density, x) - 1) < 1e-5
    assert abs(np.trapezoid(density * x, x) - 0.883333) < 1e-5
    for rates in (RATES, np.array([3.0, 1.0, 2.0])):
        found = log_densities(x, ALPHA, rates)
        matrix = np.diag(-rates) + np.diag(rates[:-1], 1)
        for place in (0, 5, 500, 5_000):
            exact = ALPHA @ scipy.linalg.expm(matrix * x[place]) @ [0, 0, rates[-1]]
            np.testing.assert_allclose(found[place], np.log(exact), atol=2e-5)


def test_one_phase_is_exponential_and_equal_rates_are_gamma():
    x = np.array([0.0, 0.3, 2.0, 50.0], np.float32)

    @jax.jit
    def chains(x):
        single = log_density(x, jnp.zeros((4, 1)), jnp.full((4, 1), 2.5))
        start = jnp.broadcast_to(jnp.array([0.0, *[-jnp.inf] * 4]), (4, 5))
        return single, log_density(x, start, jnp.full((4, 5), 2.5))

    single, equal = chains(x)
    np.testing.assert_allclose(single, scipy.stats.expon.logpdf(x, scale=0.4), rtol=1e-5)
    gamma = scipy.stats.gamma.logpdf(x[1:], 5, scale=0.4)
    np.testing.assert_allclose(equal[1:], gamma, rtol=1e-4, atol=1e-4)


def test_tails_fall_as_the_slowest_phase_and_have_gradients():
    """At x = 400, exp(A x) is below the least float32."""
    x = jnp.array([400.0, 401.0, 1e-6])
    found = log_densities(x, ALPHA, RATES)
    np.testing.assert_allclose(found[1] - found[0], -1, atol=1e-3)
    # Of a start in the first phase: product of the others' rates / (rate - slowest), at the tail.
    np.testing.assert_allclose(found[0], np.log(0.2 * 2 / 1 * 3 / 2) - 400, rtol=1e-5)
    np.testing.assert_allclose(found[2], np.log(0.3 * 3), atol=1e-4)

    def total(rates):
        return log_densities(x, ALPHA, rates).sum()

    gradient = jax.jit(jax.grad(total))(jnp.asarray(RATES, jnp.float32))
    assert np.isfinite(gradient).all()
    step = 1e-2
    for phase in range(3):
        moved = [total(jnp.asarray(RATES + sign * step * np.eye(3)[phase])) for sign in (1, -1)]
        assert abs(float(moved[0] - moved[1]) / (2 * step) - gradient[phase]) < 0.05 + 1e-3 * abs(
            gradient[phase]
        )


def test_draws_have_the_mean():
    @jax.jit
    def mean_and_draws(key):
        shape = (20_000, 2, 3)
        chain = PhaseType(
            jnp.broadcast_to(jnp.log(ALPHA), shape), jnp.broadcast_to(jnp.asarray(RATES), shape)
        )
        x = jnp.full((20_000, 2), 0.5)
        both, single = chain.log_prob(x)[0], log_density(x[0], chain.log_alpha[0], chain.rates[0])
        return chain.mean()[0], chain.sample(key), both - single.sum()

    mean, draws, gap = mean_and_draws(jax.random.key(0))
    assert draws.shape == (20_000, 2) and abs(float(gap)) < 1e-5
    np.testing.assert_allclose(mean, 0.883333, atol=1e-5)
    assert abs(draws.mean() - 0.883333) < 0.02


def test_numbers_below_zero_have_no_density():
    x = jnp.array([[1.0, -0.5], [1.0, 0.5]])

    def log_prob(rates):
        parts = jnp.broadcast_to(jnp.log(ALPHA), (2, 2, 3)), jnp.broadcast_to(rates, (2, 2, 3))
        return PhaseType(*parts).log_prob(x)

    both = jax.jit(lambda rates: (log_prob(rates), jax.jacrev(log_prob)(rates)))
    found, gradients = both(jnp.asarray(RATES))
    assert found[0] == -jnp.inf and np.isfinite(found[1]) and np.isfinite(gradients).all()
