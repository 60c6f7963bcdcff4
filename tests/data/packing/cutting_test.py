"""A clip shows what its file shows at the same seconds, or the whole file is kept."""

import numpy as np
import pytest
from video_files import (
    REORDERED,
    numbers,
    pictures,
    write_frames,
    write_video,
    write_with_edit_list,
)

from pipeline.data.media.video_file import VideoFile
from pipeline.data.packing.cutting import Piece, cut
from pipeline.data.videos.clips import since

INFINITY = float("inf")


def shown(data, begin=0.0, end=INFINITY) -> list[int]:
    with VideoFile(data, begin, end) as file:
        frames = since(file.frames_from(file.begin), file.begin + file.rounding)
        return numbers(np.stack([frame.pixels(*frame.size) for frame in frames]))


def pieces(path, begin=0.0, end=INFINITY, seconds=1.0) -> list[Piece]:
    found = list(cut(str(path), begin, end, seconds))
    assert all(isinstance(piece, Piece) for piece in found), found
    return found


def all_shown(found: list[Piece]) -> list[int]:
    return [number for piece in found for number in shown(piece.data, piece.begin, piece.end)]


@pytest.mark.parametrize("skipped", [3, 8, 13])
@pytest.mark.parametrize("frames", ["bframes=0:keyint=12", REORDERED["x264-params"]])
def test_clips_of_a_file_with_an_edit_list_show_its_seconds(tmp_path, skipped, frames):
    whole = write_frames(
        tmp_path / "whole.mp4", pictures(36), options={"x264-params": frames, "bf": "3"}
    )
    path = write_with_edit_list(tmp_path / "a.mp4", whole, skipped)
    expected = list(range(skipped, 36))
    assert shown(str(path)) == expected
    found = pieces(path)
    assert all_shown(found) == expected and (len(found) > 1 or skipped == 13)
    assert all_shown(pieces(path, 0.5, 1.0)) == expected[6:12]


@pytest.mark.parametrize(
    "name, whole, settings",
    [
        ("a.avi", False, {"codec": "ffv1", "pixel_format": "bgr0"}),
        ("b.avi", True, {"options": REORDERED}),
        ("a.mkv", False, {"options": REORDERED}),
        ("b.mkv", False, {"options": REORDERED, "times": range(30, 66)}),
        ("a.h264", True, {}),
    ],
)
def test_clips_of_other_containers_show_all_frames_in_order(tmp_path, name, whole, settings):
    path = write_frames(tmp_path / name, pictures(36), **settings)
    found = pieces(path)
    assert all_shown(found) == shown(str(path)) == list(range(36))
    assert (len(found) == 1) == whole
    assert all_shown(pieces(path, 1.0, 1.5)) == list(range(12, 18))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_clips_keep_a_mirrored_orientation(tmp_path, name):
    def mirror(stream):
        stream.set_display_matrix([-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30])

    path = write_frames(tmp_path / name, pictures(30), prepare=mirror)
    with VideoFile(str(path)) as file:
        expected = [frame.orientation for frame in file.frames_from(file.begin)]
    found = []
    for piece in pieces(path):
        with VideoFile(piece.data) as file:
            found += [frame.orientation for frame in file.frames_from(file.begin)]
    assert found == expected


def test_what_the_user_should_know_is_noted(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=13, sound=True, second_stream=True)
    notes: list[str] = []
    list(cut(str(path), 0, INFINITY, 1, notes.append))
    assert notes == [
        "the first of 2 video streams",
        "without its sound, which training has no use for",
    ]
