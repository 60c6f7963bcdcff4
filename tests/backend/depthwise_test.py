"""The CPU lowering of the depthwise convolution equals XLA's grouped convolution."""

import jax
import numpy as np
import pytest
from jax import lax

from pipeline.backend import target
from pipeline.backend.depthwise import depthwise_conv2d


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("height, width, size", [(1, 1, 5), (4, 6, 5), (8, 3, 3)])
def test_cpu_lowering_matches_xla_in_values_and_gradients(height, width, size):
    x, kernel = normal(0, 2, height, width, 7), normal(1, size, size, 1, 7)
    grad = normal(2, *x.shape)
    ours, pull = jax.vjp(jax.jit(depthwise_conv2d), x, kernel)
    with target.compiling_for("gpu"):
        expected, expected_pull = jax.vjp(jax.jit(depthwise_conv2d), x, kernel)
    layout = ("NHWC", "HWIO", "NHWC")
    general = lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=layout, feature_group_count=7
    )
    np.testing.assert_array_equal(expected, general)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    for a, b in zip(pull(grad), expected_pull(grad)):
        np.testing.assert_allclose(a, b, atol=1e-4)
