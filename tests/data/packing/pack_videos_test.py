"""`strata data pack` of videos: clips cut at keyframes hold every frame, and damage is named."""

import json

import numpy as np
import pytest
from PIL import Image
from video_files import numbers, write_sound, write_video

from pipeline.cli import dispatch
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.media.video_file import VideoFile
from pipeline.data.packing.cutting import cut
from pipeline.data.packing.pack_videos import pack_videos
from pipeline.data.sources.clips import ClipRecords
from pipeline.data.videos.clips import since
from pipeline.data.videos.video_data import VideoData


def frames_of(video) -> list[int]:
    """Return the numbers of the frames between begin and end of a packed clip."""
    with VideoFile(video.data, video.begin, video.end) as file:
        frames = since(file.frames_from(file.begin), file.begin + file.rounding)
        return numbers(np.stack([frame.pixels(*frame.size) for frame in frames]))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "cat/a.mp4", frames=36, sound=True)
    write_video(folder / "cat/b.mkv", frames=24, size=(48, 32))
    write_video(folder / "dog/c.webm", frames=24, codec="libvpx-vp9")
    write_video(folder / "dog/d.gif", frames=6, codec="gif", pixel_format="rgb8")
    write_video(folder / "dog/e.avi", frames=18, codec="mpeg4", rotation=0)
    write_video(folder / "dog/f.mp4", frames=12, rotation=90)
    return folder


def test_clips_are_cut_at_keyframes_and_hold_every_frame(videos, tmp_path):
    manifest = pack_videos(str(videos), str(tmp_path / "packed"), clip_seconds=1, shard_bytes=4000)
    assert (
        manifest["classes"] == ["cat", "dog"]
        and not manifest["unreadable"]
        and len(manifest["shards"]) > 1
    )
    records = ClipRecords(str(tmp_path / "packed"))
    # x264 puts a keyframe at every fifth frame, and a second is twelve of them.
    assert records.sizes[:3].tolist() == [[15, 32, 48], [15, 32, 48], [6, 32, 48]]
    assert [frames_of(records[index]) for index in range(3)] == [
        list(range(15)),
        list(range(15, 30)),
        list(range(30, 36)),
    ]
    assert records.size(len(records) - 1) == (48, 32)  # upright
    assert sum(records.sizes[:, 0].tolist()) == 120  # of all six files
    data = VideoData(
        "clips",
        str(tmp_path / "packed"),
        image_size=16,
        num_frames=5,
        eval_fraction=0,
        num_workers=1,
    )
    with data.train(6, 0) as batches:
        batch = next(batches)
    assert batch["video"].shape == (6, 5, 16, 16, 3) and not data.unreadable


def test_cuts_copy_the_packets(videos):
    (piece, *_rest) = cut(str(videos / "cat/a.mp4"), 0, float("inf"), 1)
    assert not isinstance(piece, str)
    with VideoFile(str(videos / "cat/a.mp4")) as whole, VideoFile(piece.data) as part:
        pairs = list(zip(whole.frames_from(0), part.frames_from(0)))
        assert len(pairs) == 15
        for a, b in pairs:
            np.testing.assert_array_equal(a.pixels(*a.size), b.pixels(*b.size))


def test_parts_of_a_list_stay_parts(videos, tmp_path):
    (tmp_path / "list.jsonl").write_text(
        json.dumps({"path": str(videos / "cat/a.mp4"), "begin": 0.75, "end": 1.25})
    )
    assert (
        dispatch(["data", "pack", str(tmp_path / "list.jsonl"), "--out", str(tmp_path / "packed")])
        == 0
    )
    records = ClipRecords(str(tmp_path / "packed"))
    assert len(records) == 1 and records.sizes[0, 0] < 36
    assert frames_of(records[0]) == [9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("fps", [0, 6])
def test_raw_clips_are_frames(videos, tmp_path, fps):
    settings = ["--raw", "--clip_seconds=2", "--image_size=16", f"--fps={fps}"]
    assert dispatch(["data", "pack", str(videos), "--out", str(tmp_path / "raw"), *settings]) == 0
    records = ClipRecords(str(tmp_path / "raw"))
    first = records[0]
    assert isinstance(first.data, np.ndarray) and first.data.shape == (
        24 if not fps else 12,
        16,
        24,
        3,
    )
    assert numbers(first.data) == list(range(0, 24, 2 if fps else 1)) and first.fps == (fps or 12)
    settings = {"image_size": 16, "num_frames": 5, "fps": 6, "eval_fraction": 0, "short": "repeat"}
    data = VideoData("clips", str(tmp_path / "raw"), **settings, buckets=[[16, 24], [24, 16]])
    assert {kind.shape for kind in data._training.kinds} == {(5, 16, 24, 3), (5, 24, 16, 3)}
    with data.train(4, 0) as batches:
        assert next(batches)["video"].dtype == np.uint8


def test_unreadable_videos_are_left_out_and_named(videos, tmp_path, capsys):
    folder = tmp_path / "in"
    write_video(folder / "good.mp4", frames=5)
    content = write_video(folder / "cut.mp4", frames=36).read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) * 9 // 10])
    (folder / "zero.mp4").write_bytes(b"")
    write_sound(folder / "sound.mp4")
    out = str(tmp_path / "packed")
    assert (
        dispatch(["data", "pack", str(folder), "--out", out, "--clip_seconds=1", "--json=-"]) == 0
    )
    shown = capsys.readouterr()
    manifest = json.loads(shown.out)
    names = " | ".join(manifest["unreadable"])
    assert (
        "zero.mp4: not a video" in names and "sound.mp4: it has no video in it, only sound" in names
    )
    assert "cut.mp4: from " in names and "frames can be decoded" in names
    assert "left out:" in shown.err and "clips (encoded" in shown.err
    assert len(ClipRecords(out)) >= 2  # what came before the cut is kept
    assert dispatch(["data", "pack", str(folder), "--out", out + "2", "--max_unreadable=1"]) == 65
    assert "2 unreadable videos" in capsys.readouterr().err


def test_mixed_folders_and_conflicting_settings_are_refused(videos, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    write_video(tmp_path / "b.mp4", frames=5)
    assert dispatch(["data", "pack", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert (
        dispatch(["data", "pack", str(tmp_path), "--out", str(tmp_path / "x"), "--kind=images"])
        == 0
    )
    assert (
        dispatch(["data", "pack", str(tmp_path), "--out", str(tmp_path / "y"), "--kind=videos"])
        == 0
    )
    with pytest.raises(DataError, match=r"x holds images: set data\.source='records'"):
        ClipRecords(str(tmp_path / "x"))
    with pytest.raises(ConfigError, match="go with --raw"):
        pack_videos(str(videos), str(tmp_path / "z"), fps=5)
    with pytest.raises(ConfigError, match="--raw needs --clip_seconds"):
        pack_videos(str(videos), str(tmp_path / "z"), raw=True, clip_seconds=0)


def test_damage_to_packed_clips_is_reported(videos, tmp_path):
    pack_videos(str(videos), str(tmp_path / "packed"))
    sizes = tmp_path / "packed/sizes.npy"
    sizes.write_bytes(sizes.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"sizes\.npy is not as it was packed"):
        ClipRecords(str(tmp_path / "packed"))
    sizes.unlink()
    with pytest.raises(DataError, match=r"sizes\.npy: No such file"):
        ClipRecords(str(tmp_path / "packed"))


def test_clips_of_one_frame_can_be_read_from_every_packed_video(videos, tmp_path):
    pack_videos(str(videos), str(tmp_path / "packed"))
    data = VideoData(
        "clips",
        str(tmp_path / "packed"),
        image_size=16,
        num_frames=1,
        eval_fraction=0,
        resize="fit",
    )
    with data.train(6, 0) as batches:
        assert next(batches)["video"].shape == (6, 1, 16, 16, 3) and not data.unreadable
