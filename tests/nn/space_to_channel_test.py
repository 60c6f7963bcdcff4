"""Cells of pixels as channels: torch's order, and nothing lost."""

import jax.numpy as jnp
import numpy as np

from pipeline.nn.space_to_channel import channel_to_space, space_to_channel


def test_channels_are_in_the_order_of_torch_and_go_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    cells = space_to_channel(x, 2)
    # pixel_unshuffle: channel c * 4 + 2 * i + j holds pixel (2 y + i, 2 x + j) of channel c.
    assert cells.shape == (2, 2, 3, 12)
    for c, i, j in np.ndindex(3, 2, 2):
        np.testing.assert_array_equal(cells[..., 4 * c + 2 * i + j], x[:, i::2, j::2, c])
    np.testing.assert_array_equal(channel_to_space(cells, 2), x)
