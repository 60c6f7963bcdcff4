"""NVAE's layers: each lowering is the convolution, batch norm is of the global batch, masks keep the order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.backend import target
from pipeline.models.nvae.autoregressive_flow import AutoregressiveCell, AutoregressivePair
from pipeline.models.nvae.clamped_normal import clamped_normal, residual_normal
from pipeline.models.nvae.residual_cells import DecoderCell, EncoderCell, FactorizedReduce
from pipeline.models.nvae.squeeze_excitation import SqueezeExcitation
from pipeline.nn.batch_norm import MOMENTUM, BatchNorm
from pipeline.nn.depthwise import depthwise_convolve
from pipeline.nn.layer_factory import layer_factory
from pipeline.nn.resample import aligned_bilinear_double
from pipeline.nn.weight_norm import WeightNormConv


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("height, width, size", [(1, 1, 5), (4, 6, 5), (8, 3, 3)])
def test_the_cpus_depthwise_convolution_and_its_gradients(height, width, size):
    x, kernel = normal(0, 2, height, width, 7), normal(1, size, size, 1, 7)
    grad = normal(2, *x.shape)
    ours, pull = jax.vjp(jax.jit(depthwise_convolve), x, kernel)
    with target.compiling_for("gpu"):
        expected, expected_pull = jax.vjp(jax.jit(depthwise_convolve), x, kernel)
    layout = ("NHWC", "HWIO", "NHWC")
    general = lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=layout, feature_group_count=7
    )
    np.testing.assert_array_equal(expected, general)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for a, b in zip(pull(grad), expected_pull(grad)):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_depthwise_convolution_of_images_split_in_height():
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(1, 2, 2), ("replica", "fsdp", "context"))
    x, kernel = normal(0, 2, 8, 4, 3), normal(1, 5, 5, 1, 3)

    def loss(kernel, x):
        return jnp.square(depthwise_convolve(x, kernel)).sum()

    expected = jax.jit(jax.value_and_grad(loss))(kernel, x)
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec(("replica", "fsdp"), "context")))
    with target.compiling_for("cpu", mesh=mesh):
        got = jax.jit(jax.value_and_grad(loss))(kernel, split)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_batch_norm_standardises_and_its_running_statistics_follow():
    norm, x = BatchNorm(3), 2 * normal(0, 4, 5, 5, 3) + 7
    y = norm(x, MOMENTUM)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, atol=1e-4)
    np.testing.assert_allclose(norm.mean[...], 0.05 * x.mean(axis=(0, 1, 2)), rtol=1e-5)
    unbiased = np.var(x, axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.variance[...], 0.95 + 0.05 * unbiased, rtol=1e-5)
    before = norm.mean[...]
    expected = (x - before) / jnp.sqrt(norm.variance[...] + 1e-5)
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], before)


def test_batch_norm_is_over_all_devices_of_a_mesh():
    mesh = Mesh(np.array(jax.devices()[:8]), ("fsdp",))
    x = normal(0, 8, 4, 4, 5) + jnp.arange(8.0)[:, None, None, None]

    @jax.jit
    def run(x):
        norm = BatchNorm(5)
        y = norm(x, MOMENTUM)
        return y, norm.mean[...], norm.variance[...]

    split = run(jax.device_put(x, NamedSharding(mesh, PartitionSpec("fsdp"))))
    for a, b in zip(split, run(x)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_batch_norm_of_half_precision_keeps_float32_statistics():
    norm = BatchNorm(2)
    x = (normal(0, 64, 8, 8, 2) + 300).astype(jnp.bfloat16)
    assert norm(x, 1.0).dtype == jnp.bfloat16 and norm.mean[...].dtype == jnp.float32
    np.testing.assert_allclose(
        norm.mean[...], x.astype(jnp.float32).mean(axis=(0, 1, 2)), rtol=1e-6
    )


def test_a_weight_normalised_kernel_has_its_length_and_begins_as_drawn():
    conv = WeightNormConv(4, 6, 3, key=jax.random.key(0))
    lengths = jnp.sqrt(jnp.square(conv.weight()).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(lengths, jnp.exp(conv.log_norm[...]), rtol=1e-4)
    np.testing.assert_allclose(conv.weight(), conv.kernel[...], rtol=0.05)
    conv.kernel[...] = 3 * conv.kernel[...]
    np.testing.assert_allclose(
        jnp.sqrt(jnp.square(conv.weight()).sum(axis=(0, 1, 2))), lengths, rtol=1e-4
    )


def test_gates_are_of_each_image_and_channel():
    gate, x = SqueezeExcitation(8, key=jax.random.key(0)), normal(0, 2, 3, 3, 8)
    factor = jax.jit(gate)(x) / x
    np.testing.assert_allclose(factor, jnp.broadcast_to(factor[:, :1, :1], factor.shape), rtol=1e-4)
    assert float(factor.min()) > 0 and float(factor.max()) < 1 and gate.squeeze.bias.shape == (4,)


def test_aligned_doubling_keeps_the_corners_and_lines():
    ramp = jnp.broadcast_to(jnp.arange(4.0)[None, :, None, None], (1, 4, 3, 1))
    doubled = aligned_bilinear_double(ramp)
    np.testing.assert_allclose(doubled[0, :, 2, 0], np.linspace(0, 3, 8), atol=1e-6)
    np.testing.assert_array_equal(
        aligned_bilinear_double(normal(0, 1, 1, 1, 2)).shape, (1, 2, 2, 2)
    )


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
