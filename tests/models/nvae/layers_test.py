"""NVAE's layers: each lowering is the convolution, batch norm is of the global batch, masks keep
the order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.models.nvae.autoregressive_flow import AutoregressiveCell, AutoregressivePair
from pipeline.models.nvae.clamped_normal import clamped_normal, residual_normal
from pipeline.models.nvae.residual_cells import DecoderCell, EncoderCell, FactorizedReduce
from pipeline.models.nvae.squeeze_excitation import SqueezeExcitation
from pipeline.nn.init import layer_factory
from pipeline.nn.norm import MOMENTUM, BatchNorm


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_gates_are_of_each_image_and_channel():
    gate, x = SqueezeExcitation(8, key=jax.random.key(0)), normal(0, 2, 3, 3, 8)
    factor = jax.jit(gate)(x) / x
    np.testing.assert_allclose(factor, jnp.broadcast_to(factor[:, :1, :1], factor.shape), rtol=1e-4)
    assert float(factor.min()) > 0 and float(factor.max()) < 1 and gate.squeeze.bias.shape == (4,)


def test_reduction_sees_each_pixel_once():
    reduce = FactorizedReduce(2, 6, make=layer_factory(jax.random.key(0), jnp.float32))
    jacobian = jax.jit(jax.jacobian(lambda x: reduce(x)[0, 0, 0]))(normal(0, 1, 2, 2, 2))
    seen = (jnp.abs(jacobian) > 0).any(axis=(1, 4)).reshape(6, 4)
    assert seen.sum(axis=1).tolist() == [1] * 6 and seen.any(axis=0).all()


def test_cells_change_resolution_and_width_and_halve_no_signal():
    make = layer_factory(jax.random.key(0), jnp.float32)
    x = normal(0, 2, 4, 4, 8)

    @jax.jit
    def run():
        down, up = (
            EncoderCell(8, 16, down=True, make=make),
            DecoderCell(8, 4, widening=3, up=True, make=make),
        )
        return down(x, MOMENTUM), up(x, MOMENTUM), EncoderCell(8, 8, make=make)(x, MOMENTUM)

    half, double, same = run()
    assert half.shape == (2, 2, 2, 16) and double.shape == (2, 8, 8, 4)
    assert 0 < float(jnp.abs(same - x).max()) < float(jnp.abs(x).max())


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_flows_jacobian_is_triangular_with_ones(mirrored):
    make = layer_factory(jax.random.key(1), jnp.float32)
    cell, z = AutoregressiveCell(2, mirrored=mirrored, make=make), normal(0, 1, 3, 3, 2)
    cell.narrow.log_norm[...] = (
        cell.narrow.log_norm[...] + 4
    )  # away from the start, where m is nearly 0
    jacobian = np.array(
        jax.jit(jax.jacobian(lambda z: cell(z)[0].reshape(-1)))(z).reshape(18, 3, 3, 2)
    )
    if mirrored:
        jacobian = jacobian.reshape(3, 3, 2, 3, 3, 2)[::-1, ::-1, :, ::-1, ::-1]
    jacobian = jacobian.reshape(18, 18)
    np.testing.assert_array_equal(np.triu(jacobian, 1), 0)
    np.testing.assert_allclose(np.diag(jacobian), 1, atol=1e-6)
    assert np.abs(np.tril(jacobian, -1)).max() > 0.01 and abs(jacobian[-1, 0]) > 0, (
        "the last sees the first"
    )


def test_a_pair_of_cells_keeps_volume_and_sees_all_pixels():
    pair, z = (
        AutoregressivePair(2, make=layer_factory(jax.random.key(1), jnp.float32)),
        normal(0, 1, 3, 3, 2),
    )
    jacobian = jax.jit(jax.jacobian(lambda z: pair(z)[0].reshape(-1)))(z).reshape(18, 18)
    sign, log_determinant = jnp.linalg.slogdet(jacobian)
    assert float(sign) == 1 and abs(float(log_determinant)) < 1e-5
    assert (np.abs(jacobian) > 0).mean() > 0.9


def test_clamped_normals_are_bounded_and_a_zero_residual_is_the_prior():
    mean, logvar = clamped_normal(jnp.array([-1e3, 0.0, 1e3]), jnp.array([-1e3, 0.0, 1e3]))
    np.testing.assert_allclose(mean, [-5, 0, 5], atol=1e-5)
    np.testing.assert_allclose(
        jnp.exp(logvar / 2), [np.exp(-5) + 0.01, 1.01, np.exp(5) + 0.01], rtol=1e-5
    )
    prior = normal(0, 3, 8)
    expected = clamped_normal(*jnp.split(prior, 2, axis=-1))
    for a, b in zip(residual_normal(prior, jnp.zeros_like(prior)), expected):
        np.testing.assert_array_equal(a, b)


def test_running_statistics_are_no_parameters():
    state = nnx.state(BatchNorm(3), nnx.Param)
    assert set(state) == {"scale", "bias"}
