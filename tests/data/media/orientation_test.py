"""Eight display matrices are applied as players apply them; any other one is ignored."""

import numpy as np
import pytest
from video_files import pictures, write_frames

from pipeline.codec.media.video_io import VideoReader
from pipeline.data.media import orientation
from pipeline.data.media.orientation import Orientation
from pipeline.data.media.video_file import VideoFile

ONE = 1 << 16
EIGHT = {
    (1, 0, 0, 1): "upper left",
    (-1, 0, 0, 1): "upper right",
    (1, 0, 0, -1): "lower left",
    (-1, 0, 0, -1): "lower right",
    (0, 1, 1, 0): "upper left, transposed",
    (0, 1, -1, 0): "upper right, transposed",
    (0, -1, 1, 0): "lower left, transposed",
    (0, -1, -1, 0): "lower right, transposed",
}


def matrix(a: float, b: float, c: float, d: float) -> list[int]:
    return [round(ONE * v) for v in (a, b, 0, c, d, 0, 0, 0)] + [1 << 30]


@pytest.mark.parametrize("parts", EIGHT)
def test_eight_matrices_are_applied(parts):
    stored = np.zeros((2, 3, 1), np.uint8)
    stored[0, 0] = 1  # upper left
    found = orientation.of_matrix(matrix(*parts))
    shown = found.apply(stored)
    assert shown.shape[:2] == found.size(2, 3) == ((3, 2) if parts[1] else (2, 3))
    corners = {"upper left": (0, 0), "upper right": (0, -1), "lower left": (-1, 0)}
    corner = corners.get(EIGHT[parts].split(",")[0], (-1, -1))
    assert shown[corner] == 1 and shown.sum() == 1
    # The definition: the stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.
    a, b, c, d = parts
    numbered = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    places = {(a * x + c * y, b * x + d * y): numbered[y, x, 0] for y in range(2) for x in range(3)}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    expected = np.zeros_like(shown)
    for (x, y), value in places.items():
        expected[y - top, x - left] = value
    np.testing.assert_array_equal(found.apply(numbered), expected)


@pytest.mark.parametrize(
    "other",
    [
        [0] * 9,
        matrix(1, 0.5, 0, 1),  # shears
        matrix(0.7, 0.7, -0.7, 0.7),  # turns by 45 degrees
        matrix(2, 0, 0, 1),  # stretches
        [ONE, 0, 1, 0, ONE, 0, 0, 0, 1 << 30],  # perspective
    ],
)
def test_other_matrices_stand_for_nothing(other):
    assert orientation.of_matrix(other) is None


def test_rounded_matrices_are_applied():
    assert orientation.of_matrix(matrix(0.0001, -0.9999, 1.0001, 0)) == Orientation(True, True)


@pytest.mark.parametrize("parts", [(-1, 0, 0, 1), (0, 1, -1, 0), (0, 0, 0, 0)])
def test_both_readers_take_the_matrix_of_a_file(tmp_path, parts):
    path = write_frames(
        tmp_path / "a.mp4",
        pictures(3),
        prepare=lambda stream: stream.set_display_matrix(matrix(*parts)),
    )
    with VideoFile(str(path)) as file, VideoReader(path) as reader:
        frame = next(file.frames_from(file.begin))
        pixels = frame.pixels(*frame.size)
        np.testing.assert_array_equal(next(iter(reader)), pixels)
        for remarks in (file.remarks, reader.remarks):
            assert remarks == ([] if any(parts) else [orientation.IGNORED])
    assert pixels.shape[:2] == ((48, 32) if parts[1] else (32, 48))
    assert pixels[0, -1 if any(parts) else 0, 0] > 240
