"""Tests that overlapping tiles cover every size and blend without seams."""

import numpy as np
import pytest

from pipeline.codec.tiling.blend import Blend, Choice, Tiles


@pytest.mark.parametrize(
    "height, width, side", [(5, 7, 4), (8, 8, 8), (3, 20, 6), (32, 32, 32), (33, 64, 32)]
)
@pytest.mark.parametrize("factor", [1, 8])
def test_tiles_of_an_image_blend_into_that_image(height, width, side, factor):
    tiles = Tiles(height, width, side)
    image = (
        np.random.default_rng(0).random((2, height * factor, width * factor, 3)).astype(np.float32)
    )
    blend = Blend(tiles, factor)
    h, w = (length * factor for length in tiles.size)
    for corner in tiles.corners:
        top, left = (place * factor for place in corner)
        blend.add(corner, image[:, top : top + h, left : left + w])
    np.testing.assert_allclose(blend.result(), image, atol=1e-6)


def test_codes_come_from_the_tile_in_which_they_are_farthest_from_the_border():
    tiles = Tiles(8, 14, 8)
    codes = np.random.default_rng(0).integers(0, 1000, (1, 8, 14, 2), np.int32)
    same, other = Choice(tiles), Choice(tiles)
    for value, corner in enumerate(tiles.corners):
        tile = tiles.cut(codes, corner)
        same.add(corner, tile)
        other.add(corner, np.full_like(tile, value))
    np.testing.assert_array_equal(same.result(), codes)
    row = other.result()[0, 3, :, 0]
    assert row.dtype == np.int32 and row.tolist() == [0] * 7 + [1] * 7


def test_neighbouring_tiles_blend_without_a_seam():
    """Between a tile of zeros and a tile of ones, no two adjacent pixels differ by 0.1 or more."""
    tiles = Tiles(8, 14, 8)
    assert tiles.corners == [(0, 0), (0, 6)]
    blend = Blend(tiles, 8)
    for value, corner in enumerate(tiles.corners):
        blend.add(corner, np.full((1, 64, 64, 1), value, np.float32))
    row = blend.result()[0, 0, :, 0]
    assert row[0] == 0 and row[-1] == 1 and np.diff(row).min() >= 0 and np.diff(row).max() < 0.1


def test_tiles_cover_every_size_and_stay_inside():
    for length in range(1, 40):
        tiles = Tiles(length, length, 7)
        covered = np.zeros((length, length), int)
        for top, left in tiles.corners:
            h, w = tiles.size
            assert 0 <= top <= length - h and 0 <= left <= length - w
            covered[top : top + h, left : left + w] += 1
        assert covered.min() >= 1 and len(set(tiles.corners)) == len(tiles.corners)
