"""The CPU lowering of conv2d and its handwritten gradients equal XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pipeline.backend import target
from pipeline.backend.conv2d import conv2d


def compare(x, kernel, stride, padding):
    """Check values and gradients against XLA's convolution."""
    pads = (padding, padding)

    def expected(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    @jax.jit
    def both(x, kernel):
        results = []
        for function in (lambda x, kernel: conv2d(x, kernel, stride, pads), expected):
            y, pull = jax.vjp(function, x, kernel)
            results.append((y, *pull(jax.random.normal(jax.random.key(9), y.shape))))
        return results

    with target.compiling_for("cpu"):
        (ours, *our_grads), (theirs, *their_grads) = jax.tree.map(np.asarray, both(x, kernel))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for a, b in zip(our_grads, their_grads):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def inputs(height, width, size, c, d, batch=2):
    x = jax.random.normal(jax.random.key(size * height), (batch, height, width, c))
    kernel = jax.random.normal(jax.random.key(1), (size, size, c, d)) * (size**2 * c) ** -0.5
    return x, kernel


@pytest.mark.parametrize("height, width", [(1, 1), (2, 2), (3, 5), (8, 8), (4, 12)])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [(3, 8), (24, 8), (8, 8)])
def test_values_and_gradients(height, width, size, channels):
    compare(*inputs(height, width, size, *channels), 1, (size // 2, size // 2))


# A 96-channel VDVAE layer; and large maps, whose kernel gradients are accumulated over blocks: 64
# rows in blocks of 8, and a prime number of rows in one block.
@pytest.mark.parametrize("height, width", [(32, 32), (64, 128), (61, 128)])
def test_values_and_gradients_of_large_maps(height, width):
    compare(*inputs(height, width, 3, 96, 96, batch=1), 1, (1, 1))


# (0, 1) is AutoencoderKL's padding, (1, 1) torch's padding=1; PatchGAN has 4x4 kernels.
@pytest.mark.parametrize("size, padding", [(3, (0, 1)), (3, (1, 1)), (4, (1, 1))])
@pytest.mark.parametrize("height, width", [(2, 2), (4, 12)])
def test_values_and_gradients_of_stride_two(height, width, size, padding):
    compare(*inputs(height, width, size, 5, 7), 2, padding)


def test_bias_is_added_and_gets_the_sum_of_gradients():
    x, kernel = inputs(4, 4, 3, 3, 2)
    bias = jnp.array([1.0, -2.0])
    padding = ((1, 1), (1, 1))
    with target.compiling_for("cpu"):
        plain = conv2d(x, kernel, 1, padding)
        biased, pull = jax.vjp(lambda bias: conv2d(x, kernel, 1, padding, bias), bias)
        np.testing.assert_allclose(biased, plain + bias, atol=1e-6)
        np.testing.assert_allclose(pull(jnp.ones_like(biased))[0], [32.0, 32.0], rtol=1e-6)
