"""Layers of 2-D convolution (lowerings and their gradients: backend/conv2d_test)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pipeline.nn.conv import Conv, TransposedConv, UpsamplingConv, upsampling_convolve
from pipeline.nn.resample import nearest_upsample


def reference(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def compare(ours, expected, x, kernel):
    """Check that two functions of x and a kernel agree in values and gradients."""
    ours, ours_vjp = jax.vjp(jax.jit(ours), x, kernel)
    expected, expected_vjp = jax.vjp(expected, x, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    grad = jax.random.normal(jax.random.key(9), ours.shape)
    for a, b in zip(ours_vjp(grad), expected_vjp(grad)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max()))


def test_several_inputs_are_concatenated_along_channels():
    conv = Conv(12, 6, 3, key=jax.random.key(0))
    a, b = jax.random.normal(jax.random.key(1), (2, 2, 4, 4, 6))
    np.testing.assert_allclose(conv(a, b), conv(jnp.concatenate([a, b], axis=-1)), atol=1e-5)


def test_initial_kernel_is_uniform_by_the_fan_in_and_scaled():
    conv = Conv(16, 64, 3, init_scale=0.5, key=jax.random.key(0))
    bound = 0.5 * (16 * 9) ** -0.5
    kernel = conv.kernel[...]
    assert float(jnp.abs(kernel).max()) <= bound
    np.testing.assert_allclose(kernel.std(), bound / 3**0.5, rtol=0.05)
    assert not jnp.any(conv.bias[...])


def test_computes_in_its_dtype():
    conv = Conv(4, 4, 3, key=jax.random.key(0), dtype=jnp.bfloat16)
    assert conv(jnp.ones((1, 4, 4, 4))).dtype == jnp.bfloat16
    assert conv.kernel[...].dtype == jnp.float32


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (8, 8)])
def test_upsampling_conv_is_a_convolution_of_the_upsampled_image(height, width):
    x = jax.random.normal(jax.random.key(0), (2, height, width, 5))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 7)) / 3
    compare(
        upsampling_convolve, lambda x, kernel: reference(nearest_upsample(x, 2), kernel), x, kernel
    )


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3)])
def test_transposed_conv_is_the_transpose_of_a_strided_one(height, width):
    conv = TransposedConv(5, 7, bias_scale=1.0, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, height, width, 5))
    # What a 4x4 convolution of stride 2 with one row of zeros on each side does to gradients.
    kernel = jnp.swapaxes(conv.kernel[...], 2, 3)
    wide = jnp.zeros((2, 2 * height, 2 * width, 7))

    def halve(y):
        return jax.lax.conv_general_dilated(
            y, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    (expected,) = jax.vjp(halve, wide)[1](x)
    np.testing.assert_allclose(conv(x), expected + conv.bias[...], atol=1e-5)


def test_clips_are_convolved_frame_by_frame():
    clip = jax.random.normal(jax.random.key(1), (2, 3, 4, 4, 6))
    for conv in (
        Conv(6, 5, 3, stride=2, key=jax.random.key(0)),
        UpsamplingConv(6, 5, key=jax.random.key(0)),
        TransposedConv(6, 5, key=jax.random.key(0)),
    ):
        out = conv(clip)
        np.testing.assert_allclose(out[:, 1], conv(clip[:, 1]), atol=1e-6)


def test_bias_may_be_uniform_or_absent():
    conv = Conv(16, 64, 3, bias_scale=1.0, key=jax.random.key(0))
    bound = (16 * 9) ** -0.5
    np.testing.assert_allclose(conv.bias[...].std(), bound / 3**0.5, rtol=0.2)
    assert float(jnp.abs(conv.bias[...]).max()) <= bound
    np.testing.assert_array_equal(
        conv.kernel[...], Conv(16, 64, 3, key=jax.random.key(0)).kernel[...]
    )
    unbiased = Conv(16, 64, 3, bias_scale=None, key=jax.random.key(0))
    assert unbiased.bias is None and unbiased(jnp.zeros((1, 4, 4, 16))).shape == (1, 4, 4, 64)
