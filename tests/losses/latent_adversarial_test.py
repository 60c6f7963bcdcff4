"""The total correlation of known Gaussians, from the exact log-ratio and from a trained one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.discriminators.mlp import MLP
from pipeline.losses import latent_adversarial as losses

RHO, TOTAL_CORRELATION = 0.6, 0.223144  # -log(1 - rho^2) / 2


def correlated(key, count):
    """Draw two unit normal elements with the correlation RHO."""
    a, b = jax.random.normal(key, (2, count))
    return jnp.stack([a, RHO * a + np.sqrt(1 - RHO**2) * b], axis=1)


def log_ratio(z):
    """Return log q(z) - log q(z_1) q(z_2) of `correlated`."""
    a, b = z.T
    inner = (a**2 - 2 * RHO * a * b + b**2) / (1 - RHO**2)
    return 0.5 * (a**2 + b**2 - inner) - 0.5 * np.log(1 - RHO**2)


@jax.jit
def permuted_and_ratio(key):
    z = correlated(key, 100_000)
    other = losses.permuted(z, jax.random.fold_in(key, 1))
    values = losses.density_ratio(log_ratio(z)).mean()
    return z, other, values, losses.cross_entropy(log_ratio(z), log_ratio(other)).mean()


def test_permuted_latents_are_independent_and_the_exact_ratio_gives_the_total_correlation():
    z, other, ratio, loss = (np.asarray(x) for x in permuted_and_ratio(jax.random.key(0)))
    np.testing.assert_array_equal(np.sort(z, axis=0), np.sort(other, axis=0))
    assert abs(np.corrcoef(z.T)[0, 1] - RHO) < 0.01 > abs(np.corrcoef(other.T)[0, 1])
    assert ratio == pytest.approx(TOTAL_CORRELATION, abs=0.01)
    assert 0.6 < loss < np.log(2) - 0.03
    nothing = jnp.zeros(8)
    assert losses.cross_entropy(nothing, nothing).mean() == pytest.approx(np.log(2))
    assert losses.density_ratio(nothing).mean() == 0
    assert losses.fool(nothing).mean() == pytest.approx(np.log(2)), "AAE: q(z) is the prior"
    gradient = jax.grad(lambda logits: losses.fool(logits).sum())(jnp.array([-8.0, 0.0, 8.0]))
    assert 0 < gradient[0] < 1e-3 and gradient[1] == 0.5 and gradient[2] > 0.999
    drawn = losses.prior(jnp.full((40_000, 2), 7.0), jax.random.key(1))
    np.testing.assert_allclose([drawn.mean(), drawn.std()], [0, 1], atol=0.02)


def test_a_discriminator_learns_the_total_correlation():
    """Trained on correlated latents it is near 0.223, and on independent ones it stays at 0."""
    model = MLP(in_channels=2, hidden=(24, 24), rngs=nnx.Rngs(0))
    modeldef, params, state = parameters.split(model)
    optimizer = optax.adam(3e-3, b1=0.5, b2=0.9)

    def loss_of(params, key, mix):
        z = correlated(key, 400)
        z = jnp.where(mix, z, losses.permuted(z, jax.random.fold_in(key, 2)))
        other = losses.permuted(z, jax.random.fold_in(key, 1))
        logits = [modeldef.merge(params, state)(each) for each in (z, other)]
        return losses.cross_entropy(*logits).mean(), losses.density_ratio(logits[0]).mean()

    def update(carry, key):
        params, moments, mix = carry
        gradients, ratio = jax.grad(loss_of, has_aux=True)(params, key, mix)
        changes, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, changes), moments, mix), ratio

    @jax.jit
    def train(params, key, mix):
        keys = jax.random.split(key, 400)
        return jax.lax.scan(update, (params, optimizer.init(params), mix), keys)[1]

    for mix, expected in ((True, TOTAL_CORRELATION), (False, 0.0)):
        ratios = np.asarray(train(params, jax.random.key(3), mix))
        assert ratios[-100:].mean() == pytest.approx(expected, abs=0.04)
