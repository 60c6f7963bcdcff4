"""Norms against their definitions, and what each of them mixes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.nn.norm import GroupNorm, LayerNorm, RMSNorm

X = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 3, 4, 5, 8))


def with_random_weights(norm):
    norm.scale[...] = jax.random.normal(jax.random.key(1), norm.scale.shape)
    if hasattr(norm, "bias"):
        norm.bias[...] = jax.random.normal(jax.random.key(2), norm.bias.shape)
    return norm


def test_layer_norm_is_over_channels():
    norm = with_random_weights(LayerNorm(8))
    x = np.asarray(X, np.float64)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(norm(X), expected * norm.scale[...] + norm.bias[...], atol=1e-5)


def test_rms_norm_keeps_the_mean():
    norm = with_random_weights(RMSNorm(8))
    x = np.asarray(X, np.float64)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(norm(X), expected * norm.scale[...], atol=1e-5)


@pytest.mark.parametrize("per_frame, axes", [(True, (2, 3, 5)), (False, (1, 2, 3, 5))])
def test_group_norm(per_frame, axes):
    norm = with_random_weights(GroupNorm(8, groups=4, per_frame=per_frame))
    x = np.asarray(X, np.float64).reshape(2, 3, 4, 5, 4, 2)
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-6)
    np.testing.assert_allclose(
        norm(X), expected.reshape(X.shape) * norm.scale[...] + norm.bias[...], atol=1e-5
    )
    # Images have one frame each, whatever the setting.
    np.testing.assert_allclose(norm(X[:, 0]), norm(X[:, :1])[:, 0], atol=1e-5)


@pytest.mark.parametrize("per_frame", [True, False])
def test_gradients_of_group_norm_are_those_of_its_definition(per_frame):
    def defined(scale, bias, x):
        axes = (2, 3, 5) if per_frame else (1, 2, 3, 5)
        return standardised(x.reshape(2, 3, 4, 5, 4, 2), axes).reshape(x.shape) * scale + bias

    compare_gradients(GroupNorm(8, groups=4, per_frame=per_frame), defined)


def test_gradients_of_layer_norm_are_those_of_its_definition():
    compare_gradients(LayerNorm(8), lambda scale, bias, x: standardised(x, (-1,)) * scale + bias)


def standardised(x, axes):
    centred = x - x.mean(axes, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(axes, keepdims=True) + 1e-6)


def compare_gradients(norm, defined):
    norm = with_random_weights(norm)
    graphdef, state = nnx.split(norm)

    def ours(scale, bias, x):
        again = nnx.merge(graphdef, jax.tree.map(jnp.copy, state))
        again.scale[...], again.bias[...] = scale, bias
        return again(x)

    grad = jax.random.normal(jax.random.key(5), X.shape)
    weights = norm.scale[...], norm.bias[...]
    expected = jax.vjp(defined, *weights, X)[1](grad)
    for a, b in zip(jax.vjp(ours, *weights, X)[1](grad), expected):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_group_norm_over_time_mixes_frames():
    moved = X.at[:, 2].add(jnp.arange(8.0))
    for per_frame in (True, False):
        norm = GroupNorm(8, groups=4, per_frame=per_frame)
        same = bool(jnp.allclose(norm(X)[:, :2], norm(moved)[:, :2], atol=1e-6))
        assert same == per_frame


@pytest.mark.parametrize(
    "norm", [LayerNorm(8), RMSNorm(8), GroupNorm(8, groups=4)], ids=lambda norm: type(norm).__name__
)
def test_statistics_are_float32(norm):
    # In bfloat16 the mean of values near 300 is off by more than their deviation.
    x = (300 + X).astype(jnp.bfloat16)
    out = norm(x)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        out.astype(jnp.float32), norm(x.astype(jnp.float32)), atol=0.02, rtol=0.01
    )


def test_groups_must_divide():
    with pytest.raises(ConfigError, match="groups=3 must divide 8"):
        GroupNorm(8, groups=3)
