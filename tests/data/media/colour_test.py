"""Frames become RGB by one function: their tags, what players assume without, and white below."""

import numpy as np
import pytest
from PIL import Image
from video_files import pictures, write_frames

from pipeline.codec.media.video_io import VideoReader
from pipeline.data.images.decode import decode
from pipeline.data.media.video_file import VideoFile


def first(path) -> tuple[np.ndarray, list[str]]:
    """Return the first frame as training reads it, and the remarks; a codec reads the same."""
    with VideoFile(str(path)) as file, VideoReader(path) as reader:
        frame = next(file.frames_from(file.begin))
        pixels = frame.pixels(*frame.size)
        np.testing.assert_array_equal(next(iter(reader)), pixels)
        assert reader.remarks == file.remarks
        return pixels, file.remarks


def red(height: int, width: int) -> list[np.ndarray]:
    return [np.full((height, width, 3), (255, 0, 0), np.uint8)]


@pytest.mark.parametrize(
    "size, expected",
    [((720, 1280), (255, 23, 0)), ((480, 640), (254, 0, 0)), ((578, 16), (255, 23, 0))],
)
def test_untagged_hd_is_bt_709_for_all(tmp_path, size, expected):
    # The encoder wrote BT.601, so that BT.709 is visible.
    pixels, remarks = first(write_frames(tmp_path / "a.mp4", red(*size)))
    assert np.abs(pixels[2, 2].astype(int) - expected).max() <= 2 and not remarks


def test_the_size_that_decides_the_matrix_is_the_stored_one(tmp_path):
    path = write_frames(tmp_path / "a.mp4", red(720, 1280))
    with VideoFile(str(path)) as file:
        small = next(file.frames_from(file.begin)).pixels(90, 160)
    assert small.shape == (90, 160, 3) and abs(int(small[9, 9, 1]) - 23) <= 2


def transparent() -> np.ndarray:
    """Return ARGB: transparent, half transparent and opaque columns."""
    pixels = np.full((16, 48, 4), (0, 200, 0, 0), np.uint8)
    pixels[:, 16:32, 0], pixels[:, 32:, 0] = 128, 255
    return pixels


@pytest.mark.parametrize(
    "name, codec, pixel_format",
    [("a.mov", "qtrle", "argb"), ("a.mov", "png", "rgba"), ("a.mkv", "ffv1", "yuva444p")],
)
def test_transparency_is_on_white_as_in_images(tmp_path, name, codec, pixel_format):
    argb = transparent()
    path = write_frames(
        tmp_path / name, [argb], codec=codec, pixel_format=pixel_format, source="argb"
    )
    pixels, remarks = first(path)
    Image.fromarray(np.roll(argb, -1, axis=2)).save(tmp_path / "a.png")
    as_image = decode((tmp_path / "a.png").read_bytes(), 3)
    inner = [8, 24, 40]
    assert np.abs(pixels[8, inner].astype(int) - as_image[8, inner]).max() <= 3
    assert remarks == ["transparency on white"]


def test_a_film_with_an_opaque_alpha_channel_is_as_without(tmp_path):
    argb = transparent()
    argb[..., 0] = 255
    path = write_frames(
        tmp_path / "a.mov", [argb], codec="qtrle", pixel_format="argb", source="argb"
    )
    pixels, remarks = first(path)
    np.testing.assert_array_equal(pixels, argb[..., 1:])
    assert not remarks


def test_transparency_that_the_decoder_leaves_out_is_remarked(tmp_path):
    path = write_frames(
        tmp_path / "a.webm", pictures(2), codec="libvpx-vp9", pixel_format="yuva420p"
    )
    (remark,) = first(path)[1]
    assert "transparency is not read" in remark


@pytest.mark.parametrize(
    "attribute, value, remark",
    [
        ("colorspace", 8, "colour matrix 8 is not supported, read as if it were BT.601"),
        ("color_trc", 16, "high dynamic range, read as if it were BT.709"),
    ],
)
def test_colours_that_are_not_converted_are_remarked(tmp_path, attribute, value, remark):
    path = write_frames(
        tmp_path / "a.mp4",
        red(32, 48),
        prepare=lambda stream: setattr(stream.codec_context, attribute, value),
    )
    assert first(path)[1] == [remark]
