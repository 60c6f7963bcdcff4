"""Image files of every mode are decoded to 8-bit pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images.decode import decode
from pipeline.data.unreadable import Unreadable


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def test_rgb_is_exact_and_becomes_luma_with_one_channel(rgb):
    data = encoded(Image.fromarray(rgb))
    np.testing.assert_array_equal(decode(data, 3), rgb)
    grey = decode(data, 1)
    assert grey.shape == (6, 8, 1)
    luma = rgb @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2
    assert np.abs(grey[:, :, 0] - luma).max() <= 1


def test_grey_is_repeated(rgb):
    pixels = decode(encoded(Image.fromarray(rgb[:, :, 0])), 3)
    np.testing.assert_array_equal(pixels, np.repeat(rgb[:, :, :1], 3, axis=2))


def test_16_bit_grey_is_scaled_over_the_whole_range():
    wide = np.array([[0, 257, 32768, 65535]], np.uint16)
    for kind in ("png", "tiff"):
        pixels = decode(encoded(Image.fromarray(wide), kind), 1)
        np.testing.assert_array_equal(pixels[0, :, 0], [0, 1, 128, 255])


def test_cmyk_palette_and_one_bit(rgb):
    cmyk = decode(encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "jpeg", quality=100), 3)
    assert (cmyk[..., 0] > 240).all() and (cmyk[..., 1:] < 15).all()
    palette = Image.fromarray(rgb).quantize(8)
    np.testing.assert_array_equal(decode(encoded(palette), 3), np.asarray(palette.convert("RGB")))
    one_bit = decode(encoded(Image.fromarray(np.eye(4, dtype=bool))), 3)
    np.testing.assert_array_equal(one_bit[..., 0], np.eye(4) * 255)


def test_transparency_is_composited_on_white():
    image = Image.new("RGBA", (3, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    pixels = decode(encoded(image), 3)[0]
    assert pixels[0].tolist() == [200, 0, 0]
    assert pixels[1].tolist() == [255, 255, 255]
    assert np.abs(pixels[2].astype(int) - 127).max() <= 1
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((1, 0), 1)
    assert decode(encoded(palette, transparency=0), 3)[0].tolist() == [
        [255, 255, 255],
        [10, 20, 30],
    ]


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encoded(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert decode(data, 3)[0, 0].tolist() == [255, 0, 0]


def test_exif_orientation_is_applied(rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored rotated: to be turned by 90 degrees clockwise
    pixels = decode(encoded(Image.fromarray(rgb), exif=exif), 3)
    np.testing.assert_array_equal(pixels, np.rot90(rgb, -1))


def test_a_large_jpeg_is_decoded_small_but_not_below_the_requested_size():
    image = Image.effect_noise((640, 480), 50).convert("RGB")
    pixels = decode(encoded(image, "jpeg"), 3, at_least=50)
    assert pixels.shape == (120, 160, 3)
    assert decode(encoded(image, "jpeg"), 3, at_least=300).shape == (480, 640, 3)
    assert decode(encoded(image, "png"), 3, at_least=50).shape == (480, 640, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an image",
        encoded(Image.new("RGB", (64, 64)), "jpeg")[:200],
        encoded(Image.effect_noise((64, 64), 50))[:900],
    ],
)
def test_damaged_bytes_are_unreadable(data):
    with pytest.raises(Unreadable, match=r"\w"):
        decode(data, 3)


def test_float_pixels_are_refused():
    with pytest.raises(Unreadable, match="8 or 16 bits"):
        decode(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "tiff"), 3)
