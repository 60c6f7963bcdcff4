"""Normalization layers against their definitions, and which elements they mix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.nn.norm import MOMENTUM, BatchNorm, GroupNorm, LayerNorm, RMSNorm

X = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))


def with_random_weights(norm):
    norm.scale[...] = jax.random.normal(jax.random.key(1), norm.scale.shape)
    norm.bias[...] = jax.random.normal(jax.random.key(2), norm.bias.shape)
    return norm


def test_layer_norm_matches_its_definition():
    norm = with_random_weights(LayerNorm(8))
    x = np.asarray(X, np.float64)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(norm(X), expected * norm.scale[...] + norm.bias[...], atol=1e-5)


@pytest.mark.parametrize("per_frame, axes", [(True, (2, 3, 5)), (False, (1, 2, 3, 5))])
def test_group_norm_matches_its_definition(per_frame, axes):
    norm = with_random_weights(GroupNorm(8, groups=4, per_frame=per_frame))
    x = np.asarray(X, np.float64).reshape(2, 3, 4, 5, 4, 2)
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-6)
    np.testing.assert_allclose(
        norm(X), expected.reshape(X.shape) * norm.scale[...] + norm.bias[...], atol=1e-5
    )
    # An image is one frame, whatever `per_frame` is.
    np.testing.assert_allclose(norm(X[:, 0]), norm(X[:, :1])[:, 0], atol=1e-5)


@pytest.mark.parametrize("per_frame", [True, False])
def test_gradients_of_group_norm_match_its_definition(per_frame):
    def defined(scale, bias, x):
        axes = (2, 3, 5) if per_frame else (1, 2, 3, 5)
        return standardized(x.reshape(2, 3, 4, 5, 4, 2), axes).reshape(x.shape) * scale + bias

    compare_gradients(GroupNorm(8, groups=4, per_frame=per_frame), defined)


def test_gradients_of_layer_norm_match_its_definition():
    compare_gradients(LayerNorm(8), lambda scale, bias, x: standardized(x, (-1,)) * scale + bias)


def standardized(x, axes):
    centered = x - x.mean(axes, keepdims=True)
    return centered / jnp.sqrt(jnp.square(centered).mean(axes, keepdims=True) + 1e-6)


def compare_gradients(norm, defined):
    norm = with_random_weights(norm)
    graphdef, state = nnx.split(norm)

    def ours(scale, bias, x):
        again = nnx.merge(graphdef, jax.tree.map(jnp.copy, state))
        again.scale[...], again.bias[...] = scale, bias
        return again(x)

    grad = jax.random.normal(jax.random.key(5), X.shape)
    weights = norm.scale[...], norm.bias[...]

    @jax.jit
    def gradients(scale, bias, x):
        return [jax.vjp(norm, scale, bias, x)[1](grad) for norm in (ours, defined)]

    for a, b in zip(*gradients(*weights, X)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_group_norm_mixes_frames_only_if_asked():
    moved = X.at[:, 2].add(jnp.arange(8.0))
    for per_frame in (True, False):
        norm = GroupNorm(8, groups=4, per_frame=per_frame)
        same = bool(jnp.allclose(norm(X)[:, :2], norm(moved)[:, :2], atol=1e-6))
        assert same == per_frame


@pytest.mark.parametrize(
    "norm", [LayerNorm(8), GroupNorm(8, groups=4)], ids=lambda norm: type(norm).__name__
)
def test_statistics_are_float32(norm):
    # In bfloat16 the error of a mean near 300 exceeds the standard deviation.
    x = (300 + X).astype(jnp.bfloat16)
    out = norm(x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        out.astype(jnp.float32), norm(x.astype(jnp.float32)), atol=0.02, rtol=0.01
    )


def test_groups_must_divide_the_channels():
    with pytest.raises(ConfigError, match="groups=3 must divide 8"):
        GroupNorm(8, groups=3)


def test_batch_norm_standardizes_and_updates_running_statistics():
    norm, x = BatchNorm(3), 2 * jax.random.normal(jax.random.key(0), (4, 5, 5, 3)) + 7
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


def test_batch_norm_uses_the_global_batch_of_a_mesh():
    mesh = Mesh(np.array(jax.devices()[:8]), ("fsdp",))
    x = jax.random.normal(jax.random.key(0), (8, 4, 4, 5)) + jnp.arange(8.0)[:, None, None, None]

    @jax.jit
    def run(x):
        norm = BatchNorm(5)
        y = norm(x, MOMENTUM)
        return y, norm.mean[...], norm.variance[...]

    split = run(jax.device_put(x, NamedSharding(mesh, PartitionSpec("fsdp"))))
    for a, b in zip(split, run(x)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_batch_norm_statistics_are_float32_for_bfloat16_inputs():
    norm = BatchNorm(2)
    x = (jax.random.normal(jax.random.key(0), (64, 8, 8, 2)) + 300).astype(jnp.bfloat16)
    assert norm(x, 1.0).dtype == jnp.bfloat16 and norm.mean[...].dtype == jnp.float32
    np.testing.assert_allclose(
        norm.mean[...], x.astype(jnp.float32).mean(axis=(0, 1, 2)), rtol=1e-6
    )


def test_rms_norm_gives_a_pixel_the_mean_square_one_whatever_its_size():
    x = X
    y = RMSNorm(8, eps=1e-24)(x)
    np.testing.assert_allclose(jnp.square(y).mean(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(RMSNorm(8, eps=1e-24)(100 * x), y, rtol=1e-5)
    # It keeps a pixel's direction: nothing is subtracted.
    np.testing.assert_allclose(y / x, (y / x)[..., :1] + 0 * x, rtol=1e-5)


def test_a_tiny_epsilon_of_rms_norm_keeps_zero():
    assert not RMSNorm(8, eps=1e-24)(jnp.zeros((1, 1, 1, 8))).any()


def test_scale_and_shift_of_rms_norm_come_after_it():
    norm = RMSNorm(8, eps=1e-5, bias=True)
    plain = norm(X)
    assert norm.scale is not None and norm.bias is not None
    norm.scale[...] = jnp.arange(8.0)
    norm.bias[...] = jnp.full((8,), 0.5)
    np.testing.assert_allclose(norm(X), plain * np.arange(8) + 0.5, rtol=1e-6)
    _, params, _ = parameters.split(RMSNorm(8, scale=False))
    assert not params
    np.testing.assert_allclose(RMSNorm(8, eps=1e-5, scale=False)(X), plain, rtol=1e-6)


def test_rms_norm_computes_in_float32_and_returns_the_type_of_its_input():
    y = RMSNorm(8)(1e3 * X.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), RMSNorm(8)(1e3 * X), rtol=2e-2)
