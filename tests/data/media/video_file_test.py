"""A file's zero is its first shown frame, and every container gives the same frames and times."""

import numpy as np
import pytest
from PIL import Image
from video_files import (
    REORDERED,
    noise,
    numbers,
    pictures,
    write_frames,
    write_video,
    write_with_edit_list,
)

from pipeline.codec.media.video_io import VideoReader
from pipeline.data.media.video_file import VideoFile
from pipeline.data.videos.clips import Clip

MPEG4 = {"codec": "mpeg4", "options": {"bf": "2", "b_strategy": "0"}}
B_FRAMES = {"options": REORDERED}


def write(path, form: str):
    """Write 24 frames at 12 a second in one of several forms."""
    films = {
        "edit list": lambda: write_with_edit_list(
            path, write_frames(path.with_stem("whole"), pictures(32), **B_FRAMES), 8
        ),
        "fragmented": lambda: write_frames(
            path, pictures(24), **B_FRAMES, muxer={"movflags": "frag_keyframe+empty_moov"}
        ),
        "delayed": lambda: write_frames(path, pictures(24), times=range(30, 54), **B_FRAMES),
        "reordered": lambda: write_frames(path, pictures(24), **B_FRAMES),
        "mpeg4": lambda: write_frames(path, pictures(24), **MPEG4),
        "plain": lambda: write_frames(path, pictures(24), codec="ffv1", pixel_format="bgr0"),
    }
    films[form]()
    return path, 8 if form == "edit list" else 0


FORMS = [
    ("a.mp4", "edit list"),
    ("a.mp4", "fragmented"),
    ("a.mp4", "delayed"),
    ("a.mkv", "delayed"),
    ("a.mp4", "reordered"),
    ("a.avi", "reordered"),
    ("a.avi", "mpeg4"),
    ("a.avi", "plain"),
    ("a.h264", "reordered"),
    ("a.ts", "reordered"),
    ("a.flv", "reordered"),
]


@pytest.mark.parametrize("name, form", FORMS)
def test_frames_have_their_times_from_the_first_one_on(tmp_path, name, form):
    path, skipped = write(tmp_path / name, form)
    for thorough in (False, True):
        with VideoFile(str(path), thorough=thorough) as file:
            frames = list(file.frames_from(file.begin))
            shown = np.array([float((frame.pts - file.begin) * file.tick) for frame in frames])
            found = numbers(np.stack([frame.pixels(*frame.size) for frame in frames]))
            assert not file.trouble and not file.remarks and not file.retimed
        np.testing.assert_allclose(shown * 12, np.arange(24), atol=0.02)
        if form != "mpeg4":
            assert found == list(range(skipped, skipped + 24))
    with VideoReader(path) as reader:
        assert len(list(reader)) == 24 and not reader.remarks
        times = [float((pts - reader.pts[0]) * reader.timing.time_base) for pts in reader.pts]
        np.testing.assert_allclose(np.array(times) * 12, np.arange(24), atol=0.02)
        assert float(reader.end * reader.timing.time_base) == pytest.approx(
            float(reader.pts[0] * reader.timing.time_base) + 2, abs=2e-3
        )


@pytest.mark.parametrize("name, form", [form for form in FORMS if form[1] != "mpeg4"])
def test_clips_start_at_any_frame_of_any_container(tmp_path, name, form):
    path, skipped = write(tmp_path / name, form)
    for start in (0, 7, 12, 13):
        with VideoFile(str(path)) as file:
            ticks = round(start / 12 / file.tick)
            clip = Clip(5).take(
                file, lambda room, at=ticks: at, lambda frame: frame.pixels(*frame.size)
            )
        assert numbers(clip) == list(range(skipped + start, skipped + start + 5))


def test_frames_left_out_of_an_avi_leave_a_gap(tmp_path):
    times = [0, 1, 2, 5, 6, 7, 8, 10]
    path = write_frames(tmp_path / "a.avi", pictures(8), times=times, codec="mpeg4")
    with VideoFile(str(path)) as file:
        assert [frame.pts for frame in file.frames_from(file.begin)] == times


def test_a_part_of_an_avi_shows_what_the_whole_does(tmp_path):
    # Its frames before a keyframe's, in groups that are open, are dropped after a seek.
    path = write_frames(
        tmp_path / "a.avi",
        pictures(16),
        codec="mpeg4",
        options={"bf": "2"},
        prepare=lambda stream: setattr(stream.codec_context, "gop_size", 6),
    )
    with VideoFile(str(path)) as file:
        whole = [frame.pixels(*frame.size) for frame in file.frames_from(file.begin)]
        for start in range(16):
            part = [frame for frame in file.frames_from(start) if frame.pts >= start]
            assert [frame.pts for frame in part] == list(range(start, 16))
            np.testing.assert_array_equal(part[0].pixels(*part[0].size), whole[start])


def test_the_last_frame_is_shown_as_long_as_the_file_says(tmp_path):
    first, *rest = (Image.fromarray(pixels) for pixels in pictures(3))
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=[100, 100, 2000])
    with VideoReader(tmp_path / "a.gif") as reader:
        assert len(list(reader)) == 3 and reader.end * reader.timing.time_base == pytest.approx(2.2)


def test_streams_are_counted(tmp_path):
    path = write_frames(tmp_path / "a.mp4", pictures(13), tracks=2)
    with VideoFile(str(path), thorough=True) as file:
        assert (file.sounds, file.subtitles, file.num_frames) == (2, 0, 13)


def test_many_files_can_be_read_at_once(tmp_path):
    paths = [
        write_frames(tmp_path / "a.mp4", noise(6, 32, 48), options=REORDERED),
        write_video(tmp_path / "b.mkv", frames=6),
        write_frames(tmp_path / "c.avi", pictures(6), options=REORDERED),
    ]
    files = [VideoFile(str(path)) for path in paths for _ in range(2)]
    turns = list(zip(*(file.frames_from(file.begin) for file in files), strict=True))
    assert len(turns) == 6
    for frames in turns:
        for one, same in zip(frames[::2], frames[1::2], strict=True):
            np.testing.assert_array_equal(one.pixels(32, 48), same.pixels(32, 48))
