"""Tests that ICC profiles are applied, sRGB leaves pixels alone, and damage is reported."""

import io

import image_bytes
import numpy as np
import pytest
from PIL import Image

from pipeline.codec.media import image_files
from pipeline.data.images.decode import decode

PROFILES = {
    "swapped": (image_bytes.swapped_profile(), "RGB"),
    "grey": (image_bytes.grey_profile(1.0), "L"),
    "cmyk": (image_bytes.cmyk_profile(), "CMYK"),
}


def picture(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, kind: str, profile: bytes, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, icc_profile=profile, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "name, kind",
    [
        ("swapped", "png"),
        ("swapped", "tiff"),
        ("swapped", "webp"),
        ("grey", "png"),
        ("grey", "tiff"),
        ("cmyk", "tiff"),
    ],
)
def test_profiles_are_applied(name, kind):
    profile, mode = PROFILES[name]
    remarks: list[str] = []
    options = {"lossless": True} if kind == "webp" else {}
    data = encoded(picture(mode), kind, profile, **options)
    expected = image_bytes.applied(picture(mode), profile)
    assert np.abs(expected - np.asarray(picture(mode).convert("RGB"), np.int16)).max() > 30
    np.testing.assert_array_equal(decode(data, 3, remarks=remarks), expected)
    assert remarks[-1].startswith("colours converted from ")
    grey = np.asarray(Image.fromarray(expected).convert("L"))
    np.testing.assert_array_equal(decode(data, 1)[:, :, 0], grey)


def test_a_cmyk_jpeg_is_converted_by_its_profile():
    profile = PROFILES["cmyk"][0]
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    pixels = decode(encoded(image, "jpeg", profile, quality=100), 3)
    expected = image_bytes.applied(image, profile)
    assert np.abs(pixels - expected.astype(np.int16)).max() <= 2
    assert (pixels[..., 0] > pixels[..., 2]).all()  # this profile's cyan is a red


def test_srgb_leaves_every_pixel_as_it_is():
    for mode in ("RGB", "L", "P"):
        remarks: list[str] = []
        data = encoded(picture(mode), "png", image_bytes.srgb_profile())
        expected = np.asarray(picture(mode).convert("RGB"))
        np.testing.assert_array_equal(decode(data, 3, remarks=remarks), expected)
        assert not any("colours" in remark for remark in remarks)


def test_palettes_and_transparent_images_are_converted_before_they_are_put_on_white():
    profile = PROFILES["swapped"][0]
    image = Image.new("RGBA", (2, 1), (200, 30, 0, 255))
    image.putpixel((1, 0), (200, 30, 0, 0))
    pixels = decode(encoded(image, "png", profile), 3)[0]
    assert pixels[1].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(
        pixels[:1], image_bytes.applied(image.convert("RGB"), profile)[0, :1]
    )
    palette = picture("P")
    np.testing.assert_array_equal(
        decode(encoded(palette, "png", profile), 3),
        image_bytes.applied(palette.convert("RGB"), profile),
    )
    grey = Image.merge("LA", (picture("L"), Image.new("L", (9, 6), 255)))
    np.testing.assert_array_equal(
        decode(encoded(grey, "png", PROFILES["grey"][0]), 3),
        image_bytes.applied(picture("L"), PROFILES["grey"][0]),
    )


@pytest.mark.parametrize(
    "profile, said",
    [
        (b"no profile" * 30, "its colour profile is damaged and was ignored"),
        (image_bytes.swapped_profile()[:400], "its colour profile is damaged and was ignored"),
        (PROFILES["cmyk"][0], "its colour profile test is of CMYK, not of RGB, and was ignored"),
        (PROFILES["grey"][0], "its colour profile test is of grey, not of RGB, and was ignored"),
    ],
)
def test_other_profiles_are_reported_and_cost_no_pixels(profile, said, tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(picture("RGB"), "png", profile))
    pixels, remarks = image_files.read(tmp_path / "x.png", 3)
    assert remarks == [said]
    np.testing.assert_array_equal(pixels, np.asarray(picture("RGB")))
