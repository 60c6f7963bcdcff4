"""Conv: every lowering gives the convolution and its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pipeline.nn.conv import Conv, UpsamplingConv, convolve, upsampling_convolve
from pipeline.nn.resample import nearest_upsample


def reference(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def compare(ours, expected, x, kernel):
    """Values and gradients of two functions of x and a kernel."""
    ours, ours_vjp = jax.vjp(jax.jit(ours), x, kernel)
    expected, expected_vjp = jax.vjp(expected, x, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    grad = jax.random.normal(jax.random.key(9), ours.shape)
    for a, b in zip(ours_vjp(grad), expected_vjp(grad)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("height, width", [(1, 1), (2, 2), (3, 5), (8, 8), (4, 12)])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [(3, 8), (24, 8), (8, 8)])
def test_convolution_and_its_gradients(height, width, size, channels):
    keys = jax.random.split(jax.random.key(size * height), 3)
    x = jax.random.normal(keys[0], (2, height, width, channels[0]))
    kernel = jax.random.normal(keys[1], (size, size, *channels)) * (size**2 * channels[0]) ** -0.5
    grad = jax.random.normal(keys[2], (2, height, width, channels[1]))
    ours, ours_vjp = jax.vjp(jax.jit(convolve), x, kernel)
    expected, expected_vjp = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for a, b in zip(ours_vjp(grad), expected_vjp(grad)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max()))


def test_convolution_at_the_published_width():
    keys = jax.random.split(jax.random.key(0), 3)
    x, grad = (jax.random.normal(key, (1, 32, 32, 96)) for key in keys[:2])
    kernel = jax.random.normal(keys[2], (3, 3, 96, 96)) / 30
    ours, ours_vjp = jax.vjp(convolve, x, kernel)
    expected, expected_vjp = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for a, b in zip(ours_vjp(grad), expected_vjp(grad)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max()))


def test_large_maps_whose_gradients_are_summed_in_parts():
    # 64 rows in parts of 8, and of a prime number of rows, which are not parted.
    for height, width in ((64, 128), (61, 128)):
        x = jax.random.normal(jax.random.key(0), (1, height, width, 96))
        kernel = jax.random.normal(jax.random.key(1), (3, 3, 96, 96)) / 30
        compare(convolve, reference, x, kernel)


def test_several_inputs_are_one_joined_along_channels():
    conv = Conv(12, 6, 3, key=jax.random.key(0))
    a, b = jax.random.normal(jax.random.key(1), (2, 2, 4, 4, 6))
    np.testing.assert_allclose(conv(a, b), conv(jnp.concatenate([a, b], axis=-1)), atol=1e-5)


def test_starts_uniform_within_the_fan_in_and_scaled():
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


# (0, 1) is AutoencoderKL's, (1, 1) torch's padding=1; a 4x4 kernel is that of PatchGAN.
@pytest.mark.parametrize("size, padding", [(3, None), (3, (0, 1)), (3, (1, 1)), (4, (1, 1))])
@pytest.mark.parametrize("height, width", [(2, 2), (4, 12)])
def test_strides(height, width, size, padding):
    x = jax.random.normal(jax.random.key(0), (2, height, width, 5))
    kernel = jax.random.normal(jax.random.key(1), (size, size, 5, 7)) / size
    pads = padding or (0, 1)

    def expected(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (2, 2), (pads, pads), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    compare(lambda x, kernel: convolve(x, kernel, 2, padding), expected, x, kernel)


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (8, 8)])
def test_upsampling_is_a_convolution_of_the_enlarged_image(height, width):
    x = jax.random.normal(jax.random.key(0), (2, height, width, 5))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 5, 7)) / 3
    compare(
        upsampling_convolve, lambda x, kernel: reference(nearest_upsample(x, 2), kernel), x, kernel
    )


def test_clips_are_so_many_images():
    clip = jax.random.normal(jax.random.key(1), (2, 3, 4, 4, 6))
    for conv in (
        Conv(6, 5, 3, stride=2, key=jax.random.key(0)),
        UpsamplingConv(6, 5, key=jax.random.key(0)),
    ):
        out = conv(clip)
        np.testing.assert_allclose(out[:, 1], conv(clip[:, 1]), atol=1e-6)


def test_biases_may_start_uniform_or_be_absent():
    conv = Conv(16, 64, 3, bias_scale=1.0, key=jax.random.key(0))
    bound = (16 * 9) ** -0.5
    np.testing.assert_allclose(conv.bias[...].std(), bound / 3**0.5, rtol=0.2)
    assert float(jnp.abs(conv.bias[...]).max()) <= bound
    np.testing.assert_array_equal(
        conv.kernel[...], Conv(16, 64, 3, key=jax.random.key(0)).kernel[...]
    )
    bare = Conv(16, 64, 3, bias_scale=None, key=jax.random.key(0))
    assert bare.bias is None and bare(jnp.zeros((1, 4, 4, 16))).shape == (1, 4, 4, 64)
