"""The learned density: masses of integers sum to one, and draws have them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline.quantization.factorized_density import FactorizedDensity


def test_masses_sum_to_one_and_draws_follow_them():
    @jax.jit
    def everything(key):
        density = FactorizedDensity(2, key=jax.random.key(0))
        for number, factor in enumerate(density.factors):
            noise = jax.random.normal(jax.random.fold_in(key, number), factor[...].shape)
            factor[...] = 0.5 * noise
        x = jnp.broadcast_to(jnp.arange(-1000.0, 1001.0)[:, None], (2001, 2))
        far = density.log_mass(jnp.full((1, 2), 1e5))
        return density.log_mass(x), jnp.round(density.sample(key, (20_000,))), far

    log_mass, draws, far = everything(jax.random.key(1))
    mass = np.exp(np.asarray(log_mass, np.float64))
    np.testing.assert_allclose(mass.sum(axis=0), 1, atol=1e-4)
    for channel in range(2):
        for value in (-5, 0, 3):
            share = np.mean(draws[:, channel] == value)
            assert abs(share - mass[1000 + value, channel]) < 4e-3
    assert np.isfinite(far).all(), "in the tails the log is finite"


def test_gradients_reach_every_parameter():
    graph, state = nnx.split(FactorizedDensity(2, key=jax.random.key(0)))

    @jax.jit
    def gradient(state):
        x = jnp.array([[0.3, -7.0], [40.0, 1.0]])
        return jax.grad(lambda state: nnx.merge(graph, state).log_mass(x).sum())(state)

    leaves = jax.tree.leaves(gradient(state))
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in leaves)
