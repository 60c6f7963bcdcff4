"""Crop, resize, flip and bit depth."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.data.images.transforms import Transform, shrink_shorter_side
from pipeline.data.unreadable import Unreadable

FULL = (1 << 64) - 1


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * width).integers(
        0, 256, (height, width, channels), np.uint8
    )


def test_a_random_crop_without_resize_is_a_window_anywhere():
    image, crop = picture(10, 14), Transform(6, crop="random", resize="none")
    np.testing.assert_array_equal(crop.square(image, 0, 0), image[:6, :6])
    np.testing.assert_array_equal(crop.square(image, FULL, FULL), image[4:, 8:])
    np.testing.assert_array_equal(crop.for_evaluation().square(image, FULL, FULL), image[2:8, 4:10])


def test_resize_takes_the_largest_square_and_keeps_its_mean():
    smooth = np.linspace(0, 255, 64)[:, None, None].repeat(96, 1).repeat(3, 2).astype(np.uint8)
    small = Transform(16, resize="shrink").square(smooth, 0, 0)
    assert small.shape == (16, 16, 3)
    assert abs(float(small.mean()) - float(smooth.mean())) < 1
    assert (np.diff(small[:, 0, 0].astype(int)) > 0).all()


def test_shrinking_averages_fine_detail():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = Transform(8, resize="shrink").square(stripes, 0, 0)
    assert (
        np.abs(small.astype(int) - 127).max() < 12
    )  # without antialiasing it would be all 0 or all 255


def test_images_that_are_too_small_are_refused_and_fit_enlarges_them():
    for resize in ("shrink", "none"):
        with pytest.raises(
            Unreadable, match=r"7x5 pixels are too few for image_size=8.*resize='fit'"
        ):
            Transform(8, resize=resize).square(picture(5, 7), 0, 0)
    assert Transform(8, resize="fit").square(picture(5, 7), 0, 0).shape == (8, 8, 3)


def test_channels_are_converted():
    grey = picture(4, 4, 1)
    np.testing.assert_array_equal(Transform(4).square(grey, 0, 0), grey.repeat(3, 2))
    assert Transform(4, channels=1).square(picture(4, 4), 0, 0).shape == (4, 4, 1)


def test_flip_and_bits():
    images = np.stack([picture(4, 4), picture(4, 4)])
    done = Transform(4, flip=True, bits=5).finish(
        images.copy(), np.array([True, False]), np.zeros(2, np.uint64)
    )
    np.testing.assert_array_equal(done[0], images[0, :, ::-1] >> 3 << 3)
    np.testing.assert_array_equal(done[1], images[1] >> 3 << 3)
    assert Transform(4, flip=True).for_evaluation().flip is False


def test_shrinking_the_shorter_side_keeps_the_aspect_ratio_and_small_images():
    assert shrink_shorter_side(picture(20, 30), 10).shape == (10, 15, 3)
    assert shrink_shorter_side(picture(9, 30), 10).shape == (9, 30, 3)


@pytest.mark.parametrize(
    "settings",
    [{"image_size": 0}, {"channels": 4}, {"crop": "middle"}, {"resize": "yes"}, {"bits": 9}],
)
def test_impossible_settings_are_reported(settings):
    with pytest.raises(ConfigError, match=f"data.{next(iter(settings))}"):
        Transform(**{"image_size": 8, **settings})


def test_binarizing_draws_each_value_with_its_own_probability():
    grey = np.tile(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), (4000, 1, 1, 1))
    noise = np.random.default_rng(0).integers(0, 1 << 64, 4000, np.uint64)
    drawn = Transform(16, channels=1, binarize=True).finish(
        grey.copy(), np.zeros(4000, bool), noise
    )
    assert set(np.unique(drawn)) == {0, 255}
    expected = np.arange(256).reshape(16, 16, 1) / 255
    deviation = np.sqrt(expected * (1 - expected) / 4000)
    assert (
        np.abs((drawn / 255).mean(axis=0) - expected) <= 5 * deviation
    ).all()  # 0 stays black and 255 white
    with pytest.raises(ConfigError, match=r"data.bits=5 must be 8"):
        Transform(16, bits=5, binarize=True)
