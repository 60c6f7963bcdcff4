"""Depthwise and separable convolutions of clips are causal convolutions with such kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.backend import target
from pipeline.nn.cache import CausalCache
from pipeline.nn.clips.depthwise import (
    CausalDepthwiseConv3d,
    SeparableConv3d,
    depthwise_convolve_3d,
)
from pipeline.nn.conv3d import CausalConv3d


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def full(kernel: jax.Array, bias: jax.Array, time_padding: str) -> CausalConv3d:
    """Return a convolution with the given kernel [t h w i o] and bias."""
    conv = CausalConv3d(
        *kernel.shape[3:], kernel.shape[0], time_padding=time_padding, key=jax.random.key(0)
    )
    conv.kernel[...], conv.bias[...] = kernel, bias
    return conv


@pytest.mark.parametrize("time_padding", ["zeros", "replicate"])
def test_a_depthwise_convolution_has_a_diagonal_kernel(time_padding):
    layer = CausalDepthwiseConv3d(4, time_padding=time_padding, key=jax.random.key(1))
    layer.bias[...] = normal(2, 4)
    assert layer.kernel.shape == (3, 3, 3, 1, 4)
    whole = full(layer.kernel[...] * jnp.eye(4), layer.bias[...], time_padding)
    x = normal(3, 2, 5, 4, 6, 4)
    np.testing.assert_allclose(layer(x), whole(x), atol=1e-5)


def test_a_separable_convolution_has_a_kernel_of_rank_one():
    layer = SeparableConv3d(3, 5, time_padding="zeros", rngs=nnx.Rngs(0))
    layer.depthwise.bias[...], layer.pointwise.bias[...] = normal(1, 3), normal(2, 5)
    mixing = layer.pointwise.kernel[0, 0, 0]
    kernel = layer.depthwise.kernel[..., 0, :, None] * mixing
    bias = layer.depthwise.bias[...] @ mixing + layer.pointwise.bias[...]
    x = normal(3, 1, 4, 4, 4, 3)
    out = layer(x)
    np.testing.assert_allclose(out, full(kernel, bias, "zeros")(x), atol=1e-5)
    cache = CausalCache()
    head = layer(x[:, :1], cache)
    tail = layer(x[:, 1:], CausalCache(cache.arrays()))
    np.testing.assert_allclose(jnp.concatenate([head, tail], axis=1), out, atol=1e-6)


def test_splitting_the_height_changes_neither_values_nor_gradients():
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(1, 2, 2), ("replica", "fsdp", "context"))
    x, kernel = normal(0, 2, 4, 8, 4, 3), normal(1, 3, 3, 3, 1, 3)

    def loss(kernel, x):
        return jnp.square(depthwise_convolve_3d(x, kernel)).sum()

    expected = jax.jit(jax.value_and_grad(loss))(kernel, x)
    spec = PartitionSpec(("replica", "fsdp"), None, "context")
    split = jax.device_put(x, NamedSharding(mesh, spec))
    with target.compiling_for("cpu", mesh=mesh):
        got = jax.jit(jax.value_and_grad(loss))(kernel, split)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4)
