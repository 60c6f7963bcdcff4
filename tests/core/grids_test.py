"""Grids of images: layout, scaling, labels and files."""

import numpy as np
import pytest
from PIL import Image

from pipeline.core import grids


@pytest.fixture
def digits():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)


def test_images_are_in_order_and_enlarged(digits):
    canvas = grids.grid(digits, columns=3)
    cell = 64 + grids.GAP
    assert canvas.shape == (2 * cell + grids.GAP, 3 * cell + grids.GAP, 3)
    for index, image in enumerate(digits):
        top, left = (grids.GAP + i * cell for i in divmod(index, 3))
        shown = canvas[top : top + 64, left : left + 64]
        np.testing.assert_array_equal(shown[::8, ::8], image.repeat(3, -1))
        np.testing.assert_array_equal(shown, shown[::8, ::8].repeat(8, 0).repeat(8, 1))
    assert (canvas[cell + grids.GAP :, 2 * cell + grids.GAP :] == grids.BACKGROUND).all()


def test_float_images_equal_their_uint8_form(digits):
    np.testing.assert_array_equal(grids.grid(digits / 127.5 - 1), grids.grid(digits))


def test_large_images_are_not_enlarged():
    images = np.zeros((4, 300, 300, 3), np.uint8)
    assert grids.grid(images).shape == (2 * 304 + 4, 2 * 304 + 4, 3)


def test_labels_are_drawn_in_a_margin(digits):
    plain = grids.grid(digits, columns=5)
    labelled = grids.grid(digits, columns=5, labels=["original"])
    margin = labelled.shape[1] - plain.shape[1]
    np.testing.assert_array_equal(labelled[:, margin:], plain)
    assert (labelled[:, :margin] > 200).sum() > 20


def test_save_writes_a_png_in_a_new_folder(tmp_path, digits):
    path = tmp_path / "samples" / "grid.png"
    canvas = grids.grid(digits)
    grids.save(path, canvas)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), canvas)
    assert [p.name for p in path.parent.iterdir()] == ["grid.png"]
