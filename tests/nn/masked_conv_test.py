"""Masked convolutions: which pixels and channels an output depends on."""

import jax
import numpy as np
import pytest

from pipeline.nn.masked_conv import MaskedConv, MaskedDepthwiseConv


def dependencies(conv, channels):
    """Return which of the 3x3 input pixels and channels the output at the center depends on."""
    x = jax.random.normal(jax.random.key(1), (1, 3, 3, channels))
    jacobian = jax.jit(jax.jacrev(lambda x: conv(x)[0, 1, 1]))(x)[:, 0]
    return np.asarray(jacobian) != 0


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("strict", [False, True])
def test_earlier_pixels_and_channels_are_seen(mirrored, strict):
    conv = MaskedConv(2, 4, 3, strict=strict, mirrored=mirrored, key=jax.random.key(0))
    seen = dependencies(conv, 2).reshape(4, 9, 2)
    if mirrored:
        seen = seen[:, ::-1]
    assert seen[:, :4].all() and not seen[:, 5:].any()
    # Outputs 0 and 1 are of the first group of channels, 2 and 3 of the second.
    center = [[0, 0], [0, 0], [1, 0], [1, 0]] if strict else [[1, 0], [1, 0], [1, 1], [1, 1]]
    np.testing.assert_array_equal(seen[:, 4], np.array(center, bool))


def test_depthwise_channels_see_themselves():
    seen = dependencies(MaskedDepthwiseConv(2, 3, key=jax.random.key(0)), 2).reshape(2, 9, 2)
    for channel in range(2):
        np.testing.assert_array_equal(seen[channel, :, channel], np.arange(9) <= 4)
        assert not seen[channel, :, 1 - channel].any()
