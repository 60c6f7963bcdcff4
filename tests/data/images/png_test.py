"""Metadata cost no pixels of a PNG, and its transparency and colours are reported."""

import struct
import zlib

import image_bytes
import numpy as np
import pytest
from image_bytes import png

from pipeline.data.images.decode import decode
from pipeline.data.unreadable import Unreadable

ROWS = [bytes([10, 20, 30, 40, 50, 60])]
PIXELS = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
LARGE = zlib.compress(b"x" * 2_000_000)
COLOURS_16 = struct.pack(">6H", *[1000] * 3, *[30000] * 3)
IGNORED = "metadata that are damaged or too large were ignored"


@pytest.mark.parametrize(
    "chunk",
    [
        (b"zTXt", b"a\0\0" + LARGE),
        (b"iTXt", b"a\0\1\0\0\0" + LARGE),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
        (b"zTXt", b"a\0\5garbage"),
        (b"gAMA", b"1"),
        (b"pHYs", b"1"),
        (b"acTL", b"1"),
    ],
)
def test_metadata_cost_no_pixels(chunk):
    for place in ("before", "after"):
        if place == "after" and chunk[0] not in (b"zTXt", b"iTXt"):
            continue  # which Pillow does not read there
        remarks: list[str] = []
        places = {place: [chunk]}
        np.testing.assert_array_equal(decode(png(ROWS, 2, **places), 3, remarks=remarks), PIXELS)
        assert remarks == [IGNORED]


def test_much_text_in_small_parts_costs_no_pixels():
    part = (b"zTXt", b"a\0\0" + zlib.compress(b"x" * 1_000_000))
    np.testing.assert_array_equal(decode(png(ROWS, 2, before=[part] * 70), 3), PIXELS)


def test_a_profile_too_large_for_pillow_is_applied():
    large = image_bytes.swapped_profile()
    large = struct.pack(">I", len(large) + 2_000_000) + large[4:] + bytes(2_000_000)
    remarks: list[str] = []
    chunk = (b"iCCP", b"a\0\0" + zlib.compress(large))
    pixels = decode(png(ROWS, 2, before=[chunk]), 3, remarks=remarks)
    assert remarks[0].startswith("colours converted from") and np.abs(pixels - PIXELS).max() > 5
    damaged = (b"iCCP", b"a\0\5" + zlib.compress(large))
    np.testing.assert_array_equal(decode(png(ROWS, 2, before=[(b"iCCP", b"a")]), 3), PIXELS)
    assert decode(png(ROWS, 2, before=[damaged]), 3).shape == PIXELS.shape


def test_damaged_exif_is_reported_and_costs_no_pixels():
    for content in (b"garbage", b"MM\0*\0\0\0\xff"):
        remarks: list[str] = []
        data = png(ROWS, 2, before=[(b"eXIf", content)])
        np.testing.assert_array_equal(decode(data, 3, remarks=remarks), PIXELS)
        assert remarks == ["its EXIF data are damaged and were ignored"]


@pytest.mark.parametrize(
    "bits, color, row, transparent, expected",
    [
        (16, 0, struct.pack(">2H", 1000, 30000), struct.pack(">H", 1000), [255, 117]),
        (
            16,
            2,
            struct.pack(">6H", *[1000] * 3, *[30000] * 3),
            struct.pack(">3H", *[1000] * 3),
            [255, 117],
        ),
        (8, 0, bytes([7, 9]), struct.pack(">H", 7), [255, 9]),
        (4, 0, bytes([0x5A]), struct.pack(">H", 5), [255, 170]),
        (2, 0, bytes([0b10010000]), struct.pack(">H", 2), [255, 85]),
        (1, 0, bytes([0b10000000]), struct.pack(">H", 0), [255, 255]),
    ],
)
def test_a_transparent_colour_of_every_depth_becomes_white(bits, color, row, transparent, expected):
    data = png([row], 2, bits=bits, color=color, before=[(b"tRNS", transparent)])
    assert decode(data, 1)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    "chunks, said",
    [
        ([(b"gAMA", struct.pack(">I", 100_000))], ["its gamma of 1 is not applied"]),
        ([(b"gAMA", struct.pack(">I", 45_455))], []),
        ([(b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")], []),
        (
            [(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))],
            ["its primaries (cHRM) are taken as sRGB's"],
        ),
        ([(b"cICP", bytes([9, 16, 0, 1]))], ["its colours (cICP 9/16) are taken as sRGB"]),
        ([(b"cICP", bytes([1, 13, 0, 1]))], []),
    ],
)
def test_colours_that_are_not_applied_are_told(chunks, said):
    remarks: list[str] = []
    np.testing.assert_array_equal(decode(png(ROWS, 2, before=chunks), 3, remarks=remarks), PIXELS)
    assert remarks == said


def test_damaged_pixels_are_unreadable_with_and_without_metadata():
    data = png(ROWS, 2, before=[(b"zTXt", b"a\0\0" + LARGE)])
    with pytest.raises(Unreadable, match="MAX_TEXT_CHUNK"):
        decode(data[:-40], 3)
