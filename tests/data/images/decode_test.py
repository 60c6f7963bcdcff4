"""Image files of every mode are decoded to 8-bit pixels."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

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


@pytest.mark.parametrize("value", [0, 1, 9, 200])
def test_other_orientations_turn_nothing_and_say_nothing(value, rgb):
    exif, remarks = Image.Exif(), []
    exif[0x0112] = value
    for kind in ("png", "tiff"):
        pixels = decode(encoded(Image.fromarray(rgb), kind, exif=exif), 3, remarks=remarks)
        np.testing.assert_array_equal(pixels, rgb)
    assert remarks == []


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_the_orientation_of_xmp_is_applied_where_exif_has_none(kind, rgb):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
    options: dict = {"lossless": True, "xmp": xmp} if kind == "webp" else {}
    if kind == "png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    if kind == "tiff":
        options["tiffinfo"] = {700: xmp}
    remarks: list[str] = []
    pixels = decode(encoded(Image.fromarray(rgb), kind, **options), 3, remarks=remarks)
    np.testing.assert_array_equal(pixels, np.rot90(rgb, -1))
    assert remarks == ["turned upright as its EXIF data says"]


def test_xmp_next_to_exif_turns_nothing_twice(rgb):
    exif = Image.Exif()
    exif[0x0112] = 3
    xmp = b'<d tiff:Orientation="6"/>'
    data = encoded(Image.fromarray(rgb), "webp", lossless=True, exif=exif, xmp=xmp)
    np.testing.assert_array_equal(decode(data, 3), rgb[::-1, ::-1])


def test_damaged_exif_costs_no_pixels_and_pillow_says_nothing():
    flat = Image.new("RGB", (8, 8), (90, 120, 40))
    for exif in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x01"):
        remarks: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pixels = decode(encoded(flat, "jpeg", exif=exif), 3, remarks=remarks)
        assert np.abs(pixels.astype(int) - [90, 120, 40]).max() <= 2
        assert remarks == ["its EXIF data are damaged and were ignored"] and not caught


def test_large_images_are_read_without_a_warning(monkeypatch, rgb):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # and 48 are read
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.testing.assert_array_equal(decode(encoded(Image.fromarray(rgb)), 3), rgb)
    assert not caught


def test_adobe_rgb_without_a_profile_is_told():
    exif, remarks = Image.Exif(), []
    exif.get_ifd(0x8769)[0xA001] = 65535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    decode(encoded(Image.new("RGB", (8, 8)), "jpeg", exif=exif), 3, remarks=remarks)
    assert remarks == ["Adobe RGB without a profile is taken as sRGB"]


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
