"""Re-rendered dSprites: the order of the factors, the outlines' areas, and what is held out."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.data.images.image_data import ImageData
from pipeline.data.sources.dsprites import SIZES, DSprites, render

SOURCE = DSprites()


def test_factors_are_in_c_order_and_the_last_varies_fastest():
    assert len(SOURCE) == 737_280 and SOURCE.factor_names[-1] == "y"
    rows = SOURCE.factors(np.array([0, 1, 32, 1024, 40_960, 245_760, 737_279]))
    one = np.eye(5, dtype=int)
    expected = [0 * one[0], one[4], one[3], one[2], one[1], one[0], np.array([2, 5, 39, 31, 31])]
    np.testing.assert_array_equal(rows, expected)
    images, labels = SOURCE.gather(np.array([0, 31, 31 * 32]))
    np.testing.assert_array_equal(labels, 0)
    # A square of 9.6 pixels around (16, 16), below it at the last y, and right of it at the last x.
    for image, (row, column) in zip(images, [(11, 11), (43, 11), (11, 43)], strict=True):
        on = np.argwhere(image[..., 0])
        assert on.min(0).tolist() == [row, column] and on.max(0).tolist() == [row + 9, column + 9]
        assert len(on) == 100 and set(np.unique(image)) == {0, 255}


def test_the_first_and_the_last_orientation_are_the_same_image():
    factors = np.array([[s, 4, 0, 7, 19] for s in range(3)])
    turn = np.array([0, 0, 1, 0, 0])
    np.testing.assert_array_equal(render(factors), render(factors + 39 * turn))
    assert (render(factors) != render(factors + 3 * turn)).any(axis=(1, 2, 3)).all()


def test_areas_of_the_outlines_at_full_scale():
    """The mean over positions and orientations is the area: a grid of pixels samples it."""
    rng = np.random.default_rng(0)
    for shape, area in enumerate((368.5, 289.6, 224.8)):
        factors = np.column_stack([rng.integers(0, size, 200) for size in SIZES.values()])
        factors[:, :2] = shape, SIZES["scale"] - 1
        assert np.mean(render(factors).sum((1, 2, 3)) / 255) == pytest.approx(area, rel=0.005)


def test_a_heart_is_upright_at_orientation_0_and_turns_clockwise():
    upright, turned = render(np.array([[2, 5, 0, 0, 0], [2, 5, 10, 0, 0]]))[..., 0] > 0
    assert not upright[8, 16] and upright[8, 12] and upright[8, 19] and upright[23, 16]
    heights = [np.argwhere(image).mean(0) for image in (upright, turned)]
    assert heights[0][0] < 16 and abs(heights[0][1] - 15.5) < 0.1
    assert heights[1][1] > heights[0][1] + 0.5, "a quarter turn brings the lobes to the right"


def test_factors_of_held_out_examples():
    data = ImageData("dsprites", image_size=64, channels=1, eval_fraction=15_000 / 737_280)
    assert (data.num_examples, data.num_eval_examples) == (722_280, 15_000)
    with data.evaluate(4, 4) as batches:
        batch = next(batches)
    names, factors = data.eval_factors(batch["index"])
    assert names == ("shape", "scale", "orientation", "x", "y")
    np.testing.assert_array_equal(render(factors), batch["image"])
    np.testing.assert_array_equal(factors[:, 0], batch["label"])
    with pytest.raises(ConfigError, match=r"data\.source='digits' knows no factors"):
        ImageData("digits", image_size=8, channels=1).eval_factors(np.arange(2))
