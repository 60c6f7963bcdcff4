"""Tests that splitting and joining an image is the identity for every size."""

import numpy as np
import pytest

from pipeline.codec.tiling.tiles import Tiling


@pytest.mark.parametrize("height", [1, 7, 8, 9, 24])
@pytest.mark.parametrize("width", [1, 8, 17])
@pytest.mark.parametrize("channels", [1, 3])
def test_join_undoes_split(height, width, channels):
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    tiling = Tiling(height, width, 8)
    squares = tiling.split(image)
    assert squares.shape == (tiling.rows * tiling.columns, 8, 8, channels)
    np.testing.assert_array_equal(tiling.join(squares), image)


def test_edges_repeat_the_last_pixels():
    squares = Tiling(3, 3, 4).split(np.arange(9, dtype=np.uint8).reshape(3, 3, 1))
    np.testing.assert_array_equal(
        squares[0, :, :, 0], [[0, 1, 2, 2], [3, 4, 5, 5], [6, 7, 8, 8], [6, 7, 8, 8]]
    )


def test_str_describes_the_tiling():
    assert str(Tiling(384, 512, 32)) == "tiled 12x16 of 32x32"
    assert str(Tiling(380, 512, 32)) == "tiled 12x16 of 32x32, padded to 384x512"
    assert str(Tiling(32, 32, 32)) == "whole"
