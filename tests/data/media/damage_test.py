"""Damaged, missing and cut-off frames are counted, and reported by whatever reads the file."""

import pytest
from video_files import damage, noise, write_frames

from pipeline.codec.media.video_io import VideoReader
from pipeline.data.media.video_file import VideoFile, ends_early, size_of
from pipeline.data.packing.pack_videos import pack_videos
from pipeline.data.unreadable import Unreadable
from pipeline.data.videos import clip_examples
from pipeline.data.videos.video_data import VideoData

GROUPS = {"x264-params": "keyint=6:scenecut=0:bframes=0"}


@pytest.fixture
def damaged(tmp_path):
    """A film of 18 frames, the seventh of which, a keyframe, is damaged."""
    path = write_frames(tmp_path / "in/a.mp4", noise(18), options=GROUPS)
    return damage(path, 6)


def read(path) -> tuple[int, list[str]]:
    with VideoReader(path) as reader:
        return len(list(reader)), reader.remarks


def test_a_codec_reads_damaged_frames_and_counts_them(damaged):
    frames, (remark,) = read(damaged)
    assert frames == 18 and remark.startswith("1 frame is damaged or missing, from 0.50 s on")


def test_training_stops_before_them_and_says_so(damaged, capsys, monkeypatch):
    monkeypatch.setattr(clip_examples, "_REPORTED", set())
    with VideoFile(str(damaged)) as file:
        assert len(list(file.frames_from(file.begin))) == 6 and file.trouble == "damaged at 0.50 s"
    settings = {"image_size": 64, "eval_fraction": 0}
    data = VideoData("videos", str(damaged.parent), num_frames=5, clips_per_video=8, **settings)
    with data.train(8, 0) as batches:
        assert next(batches)["video"].shape == (8, 5, 64, 64, 3)
    assert capsys.readouterr().err.count("a.mp4: ends early: damaged at 0.50 s") == 1


def test_packing_says_so(damaged, tmp_path):
    folder = str(damaged.parent)
    raw = pack_videos(folder, str(tmp_path / "raw"), raw=True)
    (line,) = raw["unreadable"]
    assert "ends early, after 6 frames, which are kept: damaged at 0.50 s" in line
    encoded = pack_videos(folder, str(tmp_path / "encoded"), clip_seconds=0.5)
    (line,) = encoded["unreadable"]
    assert "a.mp4: from 0.50 s: 0 of 6 frames can be decoded (damaged at 0.00 s)" in line
    assert encoded["num_examples"] == 2


def test_frames_that_the_decoder_leaves_out_are_missing(tmp_path):
    path = write_frames(tmp_path / "a.mp4", noise(18), options=GROUPS)
    content = bytearray(path.read_bytes())
    with VideoFile(str(path), thorough=True) as file:
        packets = [packet for packet in file._fresh.demux(video=0) if packet.size]
    content[packets[8].pos : packets[8].pos + packets[8].size] = bytes(packets[8].size)
    path.write_bytes(content)
    frames, (remark,) = read(path)
    assert frames == 17 and remark.startswith("1 frame is damaged or missing, from 0.67 s on")


@pytest.mark.parametrize(
    "name, message", [("a.mp4", "its last 6 frames are missing"), ("a.mkv", " of 1.50 s")]
)
def test_a_file_that_was_cut_off_ends_early(tmp_path, name, message):
    muxer = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = write_frames(tmp_path / "in" / name, noise(18), options=GROUPS, muxer=muxer)
    assert not ends_early(str(path)) and read(path) == (18, [])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert any("ends early: " in line and message in line for line in read(path)[1])
    (line,) = ends_early(str(path))
    assert message in line
    manifest = pack_videos(str(path.parent), str(tmp_path / "out"), clip_seconds=0.5)
    assert any(message in remark for remark in manifest["remarks"])


def test_a_file_without_any_frame_says_why(tmp_path):
    path = write_frames(tmp_path / "a.mp4", noise(2), options=GROUPS)
    damage(damage(path, 0), 1)
    with VideoFile(str(path)) as file:
        assert not list(file.frames_from(file.begin)) and file.trouble
    with pytest.raises(Unreadable, match=r"no frame in it can be decoded \(damaged at 0.00 s\)"):
        size_of(str(path))
