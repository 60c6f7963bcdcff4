"""reconstruct, encode and decode on videos and pictures with a codec that takes any size."""

import json
import pathlib
import sys
import warnings

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.cli import dispatch
from pipeline.codec.video_io import VideoReader

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "codec"))
from tiny_video_codec import tiny_codec, write_video


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec") / "codec"
    tiny_codec().save_pretrained(folder)
    return str(folder)


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_video(folder / "plain.mp4", 11)
    write_video(folder / "irregular.mp4", 6, height=13, width=17, irregular=True)
    picture = np.random.default_rng(0).integers(0, 256, (20, 18, 3), np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    return folder


def run(*arguments: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # what is filled is a remark of the file, not a warning
        return dispatch(list(arguments))


def test_reconstructions_keep_frames_times_and_size(codec, inputs, tmp_path, capsys):
    out, report = tmp_path / "out", tmp_path / "r.json"
    command = ("reconstruct", "--codec", codec, str(inputs), "--out", str(out), "--json", str(report), "--chunk", "4")
    assert run(*command) == 0
    result = json.loads(report.read_text())
    found = {entry["path"].rsplit("/")[-1]: entry for entry in result["files"]}
    assert found["plain.mp4"]["frames"] == 11 and found["plain.mp4"]["fps"] == 10
    assert found["picture.png"]["frames"] == 1 and "filled to 24x24" in found["picture.png"]["remarks"][0]
    assert found["irregular.mp4"]["remarks"][-2:] == [
        "13x17 pixels are filled to 16x24",
        "6 frames are filled to 9 (1 + 4k)",
    ]
    assert result["psnr"] == pytest.approx(np.mean([entry["psnr"] for entry in result["files"]]))
    for name, shape in (("plain", (16, 24)), ("irregular", (13, 17))):
        with VideoReader(inputs / f"{name}.mp4") as before, VideoReader(out / f"{name}.mp4") as after:
            frames, originals = list(after), list(before)
            assert len(frames) == len(originals) and frames[0].shape[:2] == shape
            seconds = [np.array(video.pts) * float(video.timing.time_base) for video in (before, after)]
            np.testing.assert_allclose(seconds[0] - seconds[0][0], seconds[1] - seconds[1][0], atol=2e-3)
    assert Image.open(out / "picture.png").size == (18, 20)
    # The same command does nothing twice.
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(*command) == 0
    assert capsys.readouterr().out.count("done before") == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    assert json.loads(report.read_text())["psnr"] == result["psnr"]


def test_decoding_what_was_encoded_is_reconstructing(codec, inputs, tmp_path):
    common = ("--codec", codec)
    assert run("reconstruct", *common, str(inputs), "--out", str(tmp_path / "r")) == 0
    assert run("encode", *common, str(inputs), "--out", str(tmp_path / "z"), "--chunk", "4") == 0
    assert run("decode", *common, str(tmp_path / "z"), "--out", str(tmp_path / "d"), "--chunk", "1") == 0
    for name in ("plain.mp4", "irregular.mp4"):
        with VideoReader(tmp_path / "r" / name) as one, VideoReader(tmp_path / "d" / name) as other:
            pairs = list(zip(one, other, strict=True))
            assert one.pts == other.pts
        assert max(np.abs(a.astype(int) - b).max() for a, b in pairs) <= 12  # both went through x264
    same = [np.asarray(Image.open(tmp_path / folder / "picture.png")).astype(int) for folder in "rd"]
    assert np.abs(same[0] - same[1]).max() <= 1


def test_side_by_side_is_twice_as_wide(codec, inputs, tmp_path):
    assert (
        run("reconstruct", "--codec", codec, str(inputs / "plain.mp4"), "--out", str(tmp_path), "--side_by_side") == 0
    )
    with VideoReader(tmp_path / "plain.mp4") as video:
        assert next(iter(video)).shape == (16, 48, 3)


def test_sound_is_kept(codec, inputs, tmp_path):
    path = inputs / "sound.mp4"
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=10), container.add_stream("aac", rate=8000)
        video.height = video.width = 16
        video.pix_fmt = "yuv420p"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 20 * index, np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")
        sound.rate = 8000
        container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    assert run("reconstruct", "--codec", codec, str(path), "--out", str(tmp_path / "out")) == 0
    with av.open(str(tmp_path / "out" / "sound.mp4")) as result:
        assert result.streams.audio[0].codec_context.name == "aac"
        assert sum(frame.samples for frame in result.decode(result.streams.audio[0])) >= 9600


def test_what_is_no_video_is_named_and_the_others_are_done(codec, inputs, tmp_path, capsys):
    (inputs / "empty.mp4").write_bytes(b"")
    (inputs / "text.mkv").write_bytes(b"no video at all" * 100)
    content = (inputs / "plain.mp4").read_bytes()
    (inputs / "cut.mp4").write_bytes(content[: len(content) // 2])
    out = tmp_path / "out"
    assert run("reconstruct", "--codec", codec, str(inputs), "--out", str(out)) == 65
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3 and all(any(name in line for line in said) for name in ("empty.mp4", "text.mkv", "cut.mp4"))
    assert {path.name for path in out.glob("*.*4")} == {"plain.mp4", "irregular.mp4"}


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--fit", "resize"), "--fit is for codecs of one size"),
        (("--chunk", "6"), "multiple of 4"),
        (("--tile", "9"), "8"),
    ],
)
def test_flags_that_cannot_be(codec, inputs, tmp_path, capsys, flags, message):
    code = run("reconstruct", "--codec", codec, str(inputs / "plain.mp4"), "--out", str(tmp_path / "o"), *flags)
    assert code in (2, 65) and message in capsys.readouterr().err
