"""Tests that TIFFs of every layout are read as they mean, or refused with the reason."""

import numpy as np
import pytest
from image_bytes import tiff

from pipeline.data.images.decode import decode
from pipeline.data.unreadable import Unreadable

GREY, RGB, PALETTE, CMYK, YCBCR, CIELAB = 1, 2, 3, 5, 6, 8


def values(dtype: str, channels: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(0).integers(
        limits.min, limits.max, (5, 7, channels), dtype, endpoint=True
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize(
    "photometric, channels, separate",
    [(0, 1, False), (GREY, 1, False), (RGB, 3, False), (RGB, 3, True)],
)
def test_unsigned_pixels(order, compression, dtype, photometric, channels, separate):
    pixels = values(dtype, channels)
    data = tiff(pixels, photometric, order=order, compression=compression, separate=separate)
    if (photometric, dtype, order) == (0, "u2", ">"):
        with pytest.raises(Unreadable, match=r"1 x 16 bits, grey \(white is 0\), is not supported"):
            decode(data, 3)
        return
    expected = pixels / np.iinfo(dtype).max * 255
    expected = 255 - expected if photometric == 0 else expected
    assert np.abs(decode(data, 3) - expected).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "dtype, photometric, channels, reason",
    [
        ("i1", GREY, 1, "signed pixels have no known range"),
        ("i2", GREY, 1, "signed pixels have no known range"),
        ("i1", RGB, 3, "signed pixels have no known range"),
        ("i4", GREY, 1, "32-bit pixels outside of 0..65535 have no known range"),
        ("f2", GREY, 1, "float pixels have no known range"),
        ("f4", GREY, 1, "float pixels have no known range"),
        ("f4", RGB, 3, "float pixels have no known range"),
        ("f8", GREY, 1, "float pixels have no known range"),
        ("u4", RGB, 3, "a TIFF of 3 x 32 bits, RGB, is not supported"),
    ],
)
def test_samples_without_a_range_are_refused(order, dtype, photometric, channels, reason):
    pixels = np.full((4, 4, channels), -3 if dtype[0] == "i" else 1, dtype)
    for compression in (1, 8):
        with pytest.raises(Unreadable, match=reason):
            decode(tiff(pixels, photometric, order=order, compression=compression), 3)


def test_12_bits_are_scaled_over_their_own_range():
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095, 2048
    pixels = np.zeros((1, 2, 1), np.uint8)
    data = tiff(pixels, GREY, tags={258: (3, [12])}, data=packed)
    np.testing.assert_array_equal(decode(data, 1)[0, :, 0], [255, 128])


def test_colour_spaces_of_print_and_video():
    for separate in (False, True):
        cmyk = np.full((4, 4, 4), 0, "u2")
        cmyk[..., 1] = 65535
        pixels = decode(tiff(cmyk, CMYK, separate=separate), 3)
        assert (pixels == [255, 0, 255]).all()  # magenta
        grey = np.full((4, 4, 3), 128, "u1")
        full = {530: (3, [1, 1])}
        pixels = decode(tiff(grey, YCBCR, separate=separate, tags=full), 3)
        assert np.abs(pixels.astype(int) - 128).max() <= 1
    with pytest.raises(Unreadable, match="its inks are not CMYK"):
        decode(tiff(cmyk.astype("u1"), CMYK, tags={332: (3, [2])}), 3)
    lab = np.zeros((4, 4, 3), "u1")
    lab[..., 0] = 137  # lightness 53.6, which is sRGB 128; a and b are signed, and 0 is grey
    assert np.abs(decode(tiff(lab, CIELAB), 3).astype(int) - 128).max() <= 2


def test_subsampled_ycbcr_without_compression():
    block = bytes([40, 80, 120, 160, 128, 128])  # 2x2 of luma, then both of chroma
    pixels = np.zeros((2, 2, 3), np.uint8)
    data = tiff(pixels, YCBCR, tags={530: (3, [2, 2])}, data=block)
    expected = np.array([[40, 80], [120, 160]])
    assert np.abs(decode(data, 3).astype(int) - expected[:, :, None]).max() <= 1


def test_grey_and_alpha_in_separate_planes_are_refused():
    with pytest.raises(Unreadable, match="separate planes are not supported"):
        decode(tiff(values("u1", 2), GREY, separate=True, extra=[2], compression=8), 3)


def test_a_palette_of_8_bits_is_not_black():
    palette = [10] * 256 + [20] * 256 + [30] * 256
    data = tiff(np.zeros((2, 2, 1), np.uint8), PALETTE, tags={320: (3, palette)})
    assert decode(data, 3)[0, 0].tolist() == [10, 20, 30]
    wide = [value * 257 for value in palette]
    data = tiff(np.zeros((2, 2, 1), np.uint8), PALETTE, tags={320: (3, wide)})
    assert decode(data, 3)[0, 0].tolist() == [10, 20, 30]


def test_the_orientation_is_applied_once():
    remarks: list[str] = []
    pixels = values("u1", 3)
    turned = decode(tiff(pixels, RGB, tags={274: (3, [6])}), 3, remarks=remarks)
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))
    assert remarks == ["turned upright as its EXIF data says"]


def test_large_tags_cost_no_pixels():
    pixels = values("u1", 3)
    data = tiff(pixels, RGB, tags={270: (2, b"x" * 3_000_000)})
    np.testing.assert_array_equal(decode(data, 3), pixels)


def test_libtiff_prints_nothing(capfd):
    damaged = tiff(values("u1", 3), RGB, compression=8, data=b"no pixels")[:-3]
    with pytest.raises(Unreadable):
        decode(damaged, 3)
    assert capfd.readouterr() == ("", "")
