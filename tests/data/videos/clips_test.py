"""The frames of a clip, at even and uneven times, and in files that end early."""

import fractions

import numpy as np
import pytest
from video_files import numbers, picture, write_sound, write_video

from pipeline.core.errors import ConfigError
from pipeline.data.media.video_file import VideoFile, size_of
from pipeline.data.unreadable import Unreadable
from pipeline.data.videos.clips import Clip, Filmstrip


def take(path, clip: Clip, at: float = 0.0, **part) -> np.ndarray:
    """Return a clip that starts at this fraction of the possible starts."""
    with VideoFile(str(path), **part) as file:
        return clip.take(file, lambda room: int(room * at), lambda frame: frame.pixels(*frame.size))


def test_all_frames_or_every_second_one(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    assert numbers(take(path, Clip(5))) == [0, 1, 2, 3, 4]
    assert numbers(take(path, Clip(5), 0.999)) == [19, 20, 21, 22, 23]
    assert numbers(take(path, Clip(5, stride=3), 0.5)) == [6, 9, 12, 15, 18]
    assert numbers(take(path, Clip(1), 0.5)) == [12]


def test_every_start_is_as_likely_as_the_others(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=8, keyframe_every=4)
    starts = [numbers(take(path, Clip(5), at))[0] for at in np.linspace(0, 0.999, 40)]
    assert [starts.count(start) for start in range(4)] == [10] * 4


def test_another_frame_rate_repeats_or_skips_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4")  # 12 frames a second
    assert numbers(take(path, Clip(5, fps=6))) == [0, 2, 4, 6, 8]
    assert numbers(take(path, Clip(9, fps=24))) == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert numbers(take(path, Clip(5, fps=5))) == [0, 2, 4, 7, 9]
    assert numbers(take(path, Clip(5, fps=12, stride=2), 0.9999)) == [15, 17, 19, 21, 23]


def test_rounded_timestamps_neither_repeat_nor_skip_a_frame(tmp_path):
    path = write_video(tmp_path / "a.mkv", rate=30)  # at 0, 33, 67, 100, ... milliseconds
    for at in np.linspace(0, 0.999, 60):
        for fps, stride in ((30, 1), (15, 2)):
            found = numbers(take(path, Clip(5, fps=fps), at))
            assert found == list(range(found[0], found[0] + 5 * stride, stride))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_are_selected_by_time_and_not_by_number(tmp_path, suffix):
    times = [0, 20, 40, 500, 1000, 1040, 1100, 2000]
    path = write_video(tmp_path / f"a{suffix}", frames=8, milliseconds=times)
    # The frames that are shown at 0, 250, 500, ... milliseconds.
    assert numbers(take(path, Clip(5, fps=4))) == [0, 2, 3, 3, 4]
    assert numbers(take(path, Clip(5))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mkv", {}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.mov", {"codec": "mpeg4"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("b.mkv", {"codec": "ffv1", "pixel_format": "yuv422p10le"}),
        ("a.gif", {"codec": "gif", "pixel_format": "rgb8"}),
        ("a.mp4", {"sound": True, "second_stream": True}),
        ("a.mp4", {"pixel_format": "yuv420p10le"}),
        ("a.mp4", {"pixel_format": "yuv444p", "size": (35, 51)}),
    ],
)
def test_containers_codecs_depths_and_odd_sizes(tmp_path, name, settings):
    path = write_video(tmp_path / name, rate=10, **settings)
    clip = take(path, Clip(5), 0.75)
    assert clip.shape == (5, *settings.get("size", (32, 48)), 3)
    assert abs(float(clip[0, 2, 2, 0]) - 255) < 12 and clip[0, 2, 2, 1:].max() < 12
    if name != "a.gif":  # whose palette has 4 levels of grey
        assert numbers(clip) == [14, 15, 16, 17, 18] or numbers(clip) == [15, 16, 17, 18, 19]


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_rotation_is_applied(tmp_path, rotation, corner):
    path = write_video(tmp_path / "a.mp4", frames=5, rotation=rotation)
    clip = take(path, Clip(5))
    assert clip.shape[1:3] == ((48, 32) if rotation % 180 else (32, 48)) == size_of(str(path))
    red = [
        clip[0, y, x].tolist()
        for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))
        if clip[0, y, x, 0] > 240
    ]
    assert len(red) == 1 and clip[0, corner[0], corner[1], 0] > 240


def test_seeking_decodes_a_group_of_pictures_and_not_the_file(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=240, keyframe_every=12)
    with VideoFile(str(path)) as file:
        clip = Clip(5).take(file, lambda room: room // 2, lambda frame: frame.pixels(*frame.size))
        assert len(clip) == 5 and file.decoded <= 12 + 5 + 1


def test_a_clip_reads_from_bytes_too(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    with VideoFile(path.read_bytes()) as file:
        assert numbers(Clip(5).take(file, lambda room: room // 2, lambda f: f.pixels(*f.size))) == [
            10,
            11,
            12,
            13,
            14,
        ]


def test_parts_of_a_file(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    for at, expected in ((0.0, [6, 7, 8, 9, 10]), (0.999, [7, 8, 9, 10, 11])):
        assert numbers(take(path, Clip(5), at, begin=0.5, end=1.0)) == expected
    with pytest.raises(Unreadable, match="6 frames as they are; a clip needs 9"):
        take(path, Clip(9), begin=0.5, end=1.0)


def test_short_videos_are_unreadable_or_repeat_their_last_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", frames=3)
    with pytest.raises(Unreadable, match=r"3 frames as they are; a clip needs 5: see data\.short"):
        take(path, Clip(5))
    with pytest.raises(Unreadable, match="1 frames at 6 fps and stride 4; a clip needs 5"):
        take(path, Clip(5, fps=6, stride=4))
    assert numbers(take(path, Clip(5, short="repeat"), 0.9)) == [0, 1, 2, 2, 2]
    one = write_video(tmp_path / "one.mp4", frames=1)
    assert (
        numbers(take(one, Clip(1), 0.9)) == [0]
        and numbers(take(one, Clip(5, short="repeat"))) == [0] * 5
    )


def test_truncated_files_give_the_frames_they_have(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, frames=40, size=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    found = {at: numbers(take(path, Clip(5), at)) for at in (0.0, 0.3, 0.95, 0.999)}
    for clip in found.values():
        assert clip == list(range(clip[0], clip[0] + 5)) and clip[-1] < 39
    assert found[0.999] == numbers(take(path, Clip(5), 0.999))
    with pytest.raises(
        Unreadable, match=r"\d+ frames as they are; a clip needs 41 \(.*nvalid data"
    ):
        take(path, Clip(41))


def test_files_without_video_are_unreadable(tmp_path):
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video")
    write_sound(tmp_path / "sound.mp4")
    header = write_video(tmp_path / "header.mp4").read_bytes()
    (tmp_path / "header.mp4").write_bytes(header[:1500])
    for name, reason in (
        ("zero.mp4", "not a video that can be opened: Invalid data"),
        ("text.mp4", "not a video that can be opened"),
        ("sound.mp4", "no video in it, only sound"),
        ("header.mp4", "no frame in it can be decoded|not a video that can be opened"),
        ("none.mp4", "No such file"),
    ):
        with pytest.raises(Unreadable, match=reason):
            take(tmp_path / name, Clip(5))


def test_titles_in_another_encoding_are_ignored(tmp_path):
    path = write_video(tmp_path / "a.mkv", title="AAAAAAAA")
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"\xe9" * 8))
    assert numbers(take(path, Clip(1))) == [0]


def test_arrays_are_handled_like_files():
    frames = np.stack([picture(number, 16, 24) for number in range(20)])

    def taken(clip: Clip, at: float) -> list[int]:
        strip = Filmstrip(frames, 10)
        return numbers(
            clip.take(strip, lambda room: int(room * at), lambda frame: frame.pixels(*frame.size))
        )

    assert taken(Clip(5), 0.0) == [0, 1, 2, 3, 4] and taken(Clip(5), 0.999) == [15, 16, 17, 18, 19]
    assert taken(Clip(5, stride=2), 0.5) == [6, 8, 10, 12, 14]
    assert taken(Clip(5, fps=5), 0.0) == [0, 2, 4, 6, 8]
    assert Filmstrip(frames, 10).tick == fractions.Fraction(1, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 0}, "num_frames=0 must be at least 1"),
        ({"num_frames": 5, "fps": -1}, "data.fps=-1"),
        ({"num_frames": 5, "stride": 0}, "data.stride=0"),
        ({"num_frames": 5, "short": "loop"}, "data.short='loop' must be one of skip, repeat"),
    ],
)
def test_impossible_settings_are_reported(settings, message):
    with pytest.raises(ConfigError, match=message):
        Clip(**settings)
