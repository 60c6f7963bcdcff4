"""A file gives the same pixels in training, packed, among the examples and in a codec."""

import fractions

import numpy as np
import pytest
from video_files import REORDERED, pictures, write_frames, write_with_edit_list

from pipeline.codec.media.video_io import VideoReader
from pipeline.data.loading.example_files import write_examples
from pipeline.data.packing.pack_videos import pack_videos
from pipeline.data.videos.video_data import VideoData

ONE = 1 << 16
MIRRORED_AND_TURNED = [0, -ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]


def mirrored(path):
    def prepare(stream):
        stream.set_display_matrix(MIRRORED_AND_TURNED)
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(32, 27)

    return write_frames(path, pictures(5), prepare=prepare, tracks=1)


def full_range(path):
    def prepare(stream):
        stream.codec_context.color_range, stream.codec_context.colorspace = 2, 9

    return write_frames(path, pictures(5), prepare=prepare, pixel_format="yuv420p10le")


def transparent(path):
    frames = [
        np.dstack([np.full((32, 48), 90 + n, np.uint8), p]) for n, p in enumerate(pictures(5))
    ]
    return write_frames(path, frames, codec="qtrle", pixel_format="argb", source="argb")


def with_edit_list(path):
    whole = write_frames(path.with_name("whole.mp4"), pictures(13), options=REORDERED)
    write_with_edit_list(path, whole, 8)
    whole.unlink()
    return path


FILMS = {
    "mirrored.mp4": mirrored,
    "hd.mp4": lambda path: write_frames(path, pictures(5, 64, 1280)),
    "full_range.mkv": full_range,
    "transparent.mov": transparent,
    "edit_list.mp4": with_edit_list,
    "reordered.avi": lambda path: write_frames(path, pictures(5), options=REORDERED),
    "palette.gif": lambda path: write_frames(path, pictures(5), codec="gif", pixel_format="rgb8"),
}


@pytest.mark.parametrize("name", FILMS)
def test_all_ways_to_read_a_file_agree(tmp_path, name):
    folder = tmp_path / "in"
    path = FILMS[name](folder / name)
    with VideoReader(path) as reader:
        by_codec = np.stack(list(reader)).astype(int)
    side = min(by_codec.shape[1:3])
    top, left = (by_codec.shape[1] - side) // 2, (by_codec.shape[2] - side) // 2
    by_codec = by_codec[:, top : top + side, left : left + side]
    settings = {"image_size": side, "num_frames": 5, "resize": "none"}

    def data(source: str, where) -> VideoData:
        return VideoData(source, str(where), **settings, eval_path=str(where))

    for raw in (False, True):
        pack_videos(str(folder), str(tmp_path / f"packed{raw}"), raw=raw)
    training = data("videos", folder)
    (example,) = write_examples(training, str(tmp_path / "out"), split="eval", num=1)
    with VideoReader(example) as reader:
        found = {"data examples": np.stack(list(reader))}
    for way, source, where in (
        ("training", "videos", folder),
        ("packed", "clips", tmp_path / "packedFalse"),
        ("packed raw", "clips", tmp_path / "packedTrue"),
    ):
        found[way] = next(data(source, where).evaluate(1))["video"][0]
    for way, pixels in found.items():
        assert np.abs(pixels - by_codec).max() <= 2, way
