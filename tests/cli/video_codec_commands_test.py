"""`strata reconstruct`, `encode` and `decode` on videos and images, with a codec of any size."""

import json
import warnings

import autoencoders
import av
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from PIL import Image
from tiny_video_codec import tiny_codec, write_video

from pipeline import Codec, models
from pipeline.cli import dispatch
from pipeline.codec.any_size import AnySizeCodec
from pipeline.codec.media import any_size_files
from pipeline.codec.media.video_io import VideoReader
from pipeline.core import parameters, progress

# All files are padded to 16x24 and coded in chunks of one length: few programs are compiled.
CHUNK = ("--chunk", "4")


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
    picture = np.random.default_rng(0).integers(0, 256, (13, 20, 3), np.uint8)
    Image.fromarray(picture).save(folder / "picture.png")
    return folder


def run(*arguments: str) -> int:
    with warnings.catch_warnings():
        # Padding is a remark of the file, not a warning.
        warnings.simplefilter("error", UserWarning)
        return dispatch(list(arguments))


def test_reconstructions_keep_frames_timestamps_and_size(codec, inputs, tmp_path, capsys):
    out, report = tmp_path / "out", tmp_path / "r.json"
    command = (
        "reconstruct",
        "--codec",
        codec,
        str(inputs),
        "--out",
        str(out),
        "--json",
        str(report),
        *CHUNK,
    )
    assert run(*command) == 0
    result = json.loads(report.read_text())
    found = {entry["path"].rsplit("/")[-1]: entry for entry in result["files"]}
    assert found["plain.mp4"]["frames"] == 11 and found["plain.mp4"]["fps"] == 10
    assert (
        found["picture.png"]["frames"] == 1
        and "padded to 16x24" in found["picture.png"]["remarks"][0]
    )
    assert found["irregular.mp4"]["remarks"][-2:] == [
        "13x17 pixels are padded to 16x24",
        "6 frames are padded to 9 (1 + 4k)",
    ]
    assert result["psnr"] == pytest.approx(np.mean([entry["psnr"] for entry in result["files"]]))
    for name, shape in (("plain", (16, 24)), ("irregular", (13, 17))):
        with (
            VideoReader(inputs / f"{name}.mp4") as before,
            VideoReader(out / f"{name}.mp4") as after,
        ):
            frames, originals = list(after), list(before)
            assert len(frames) == len(originals) and frames[0].shape[:2] == shape
            seconds = [
                np.array(video.pts) * float(video.timing.time_base) for video in (before, after)
            ]
            np.testing.assert_allclose(
                seconds[0] - seconds[0][0], seconds[1] - seconds[1][0], atol=2e-3
            )
    assert Image.open(out / "picture.png").size == (20, 13)
    # The same command again does nothing.
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(*command) == 0
    assert capsys.readouterr().out.count("done before") == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    assert json.loads(report.read_text())["psnr"] == result["psnr"]


def test_encode_then_decode_equals_reconstruct(codec, inputs, tmp_path, monkeypatch):
    moved: list[tuple[int, int]] = []
    monkeypatch.setattr(
        progress.Task, "update", lambda self, done, total=None: moved.append((done, total))
    )
    common = ("--codec", codec)
    for command, out in (("reconstruct", "r"), ("encode", "z")):
        assert run(command, *common, str(inputs), "--out", str(tmp_path / out), *CHUNK) == 0
    assert (
        run("decode", *common, str(tmp_path / "z"), "--out", str(tmp_path / "d"), "--chunk", "1")
        == 0
    )
    # Each of three commands moves a progress bar over videos of 6 and 11 frames to the end.
    assert [done for done, total in moved if done == total] == 3 * [6, 11]
    assert {total for _, total in moved} == {6, 11} and len(moved) > 20
    assert all(1 <= done <= total for done, total in moved)
    for name in ("plain.mp4", "irregular.mp4"):
        with VideoReader(tmp_path / "r" / name) as one, VideoReader(tmp_path / "d" / name) as other:
            pairs = list(zip(one, other, strict=True))
            assert one.pts == other.pts
        # Not equal, because x264 compressed both.
        assert max(np.abs(a.astype(int) - b).max() for a, b in pairs) <= 12
    same = [
        np.asarray(Image.open(tmp_path / folder / "picture.png")).astype(int) for folder in "rd"
    ]
    assert np.abs(same[0] - same[1]).max() <= 1


def test_side_by_side_is_twice_as_wide(codec, inputs, tmp_path):
    assert (
        run(
            "reconstruct",
            "--codec",
            codec,
            str(inputs / "plain.mp4"),
            "--out",
            str(tmp_path),
            "--side_by_side",
            *CHUNK,
        )
        == 0
    )
    with VideoReader(tmp_path / "plain.mp4") as video:
        assert next(iter(video)).shape == (16, 48, 3)


def test_sound_is_kept(codec, inputs, tmp_path):
    path = inputs / "sound.mp4"
    with av.open(str(path), "w") as container:
        video, audio = (
            container.add_stream("libx264", rate=10),
            container.add_stream("aac", rate=8000),
        )
        video.height, video.width = 16, 24
        video.pix_fmt = "yuv420p"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(
                np.full((16, 24, 3), 20 * index, np.uint8), format="rgb24"
            )
            container.mux(video.encode(frame))
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 9600), np.int16), format="s16", layout="mono"
        )
        sound.rate = 8000
        container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    out = tmp_path / "out"
    assert run("reconstruct", "--codec", codec, str(path), "--out", str(out), *CHUNK) == 0
    with av.open(str(tmp_path / "out" / "sound.mp4")) as result:
        assert result.streams.audio[0].codec_context.name == "aac"
        assert sum(frame.samples for frame in result.decode(result.streams.audio[0])) >= 9600


def test_unreadable_videos_are_reported_and_skipped(codec, inputs, tmp_path, capsys):
    (inputs / "empty.mp4").write_bytes(b"")
    (inputs / "text.mkv").write_bytes(b"no video at all" * 100)
    content = (inputs / "plain.mp4").read_bytes()
    (inputs / "cut.mp4").write_bytes(content[: len(content) // 2])
    out = tmp_path / "out"
    assert run("reconstruct", "--codec", codec, str(inputs), "--out", str(out), *CHUNK) == 65
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3 and all(
        any(name in line for line in lines) for name in ("empty.mp4", "text.mkv", "cut.mp4")
    )
    assert {path.name for path in out.glob("*.*4")} == {"plain.mp4", "irregular.mp4"}


@pytest.mark.parametrize(
    "command, flags, message",
    [
        ("reconstruct", ("--fit", "resize"), "--fit is for codecs of one size"),
        ("reconstruct", ("--chunk", "6"), "--chunk 6 must be a multiple of 4 frames"),
        ("encode", ("--chunk", "2"), "such as 4, or 0 for whole clips"),
        ("reconstruct", ("--tile", "9"), "--tile 9 must be a multiple of 8 pixels"),
        ("decode", ("--tile", "8"), "at least 16"),
        ("decode", ("--chunk", "-1"), "chunk"),
    ],
)
def test_bad_flags_are_one_line(codec, tmp_path, capsys, command, flags, message):
    for name in ("one.mp4", "two.mp4", "z.safetensors"):
        (tmp_path / name).write_bytes(b"not a video: opening it would be an error")
    assert run(command, "--codec", codec, str(tmp_path), "--out", str(tmp_path / "o"), *flags) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error and not (tmp_path / "o").exists()


def test_an_interrupted_command_resumes(tmp_path, monkeypatch, capsys):
    worked: list[str] = []
    stop = False

    def work(codec, source, target, **parts):
        if stop and worked:
            raise KeyboardInterrupt
        worked.append(source.name)
        # decode learns the suffix from the file
        target = target if target.suffix else target.with_suffix(".mp4")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"")
        about = {
            "out": str(target),
            "frames": 1,
            "height": 16,
            "width": 16,
            "remarks": [],
            "psnr": 30.0,
        }
        return about | {"latent_shape": [1, 2, 2, 2]}

    made = tiny_codec()
    other = {name: array + 0.01 for name, array in made.weights.items()}
    codecs = {"mine": made, "other": AnySizeCodec(made.modeldef, other, made.config, "others")}
    monkeypatch.setattr(Codec, "from_pretrained", codecs.get)
    (tmp_path / "in").mkdir()
    for name in ("one", "two", "three"):
        for suffix in ("mp4", "safetensors"):
            (tmp_path / "in" / f"{name}.{suffix}").write_bytes(b"")

    def names(*line: str) -> list[str]:
        worked.clear()
        assert run(*line) == (130 if stop else 0)
        return [name.split(".")[0] for name in worked]

    for command in ("reconstruct", "encode", "decode"):
        monkeypatch.setattr(any_size_files, command, work)
        line = (
            command,
            str(tmp_path / "in"),
            "--out",
            str(tmp_path / "out"),
            "--json",
            str(tmp_path / "r.json"),
        )
        mine, others = ("--codec", "mine"), ("--codec", "other")
        stop = True
        assert names(*line, *mine) == ["one"]
        stop = False
        assert names(*line, *mine) == ["three", "two"]
        done = json.loads((tmp_path / "r.json").read_text())["files"]
        assert [entry.get("done_before") for entry in done] == [True, None, None]
        capsys.readouterr()
        with (tmp_path / "out" / ".strata-done.jsonl").open("ab") as journal:
            journal.write(b'{"key": "\xff')
        assert names(*line, *mine) == []
        assert capsys.readouterr().out.count("done before") == 3
        (tmp_path / "in" / "two.mp4").write_bytes(command.encode())
        assert names(*line, *mine) == ([] if command == "decode" else ["two"])
        assert len(names(*line, *mine, "--tile", "16")) == len(names(*line, *others)) == 3


def cv_vae(folder, *, norm_per_frame: bool) -> AnySizeCodec:
    recipe = autoencoders.cv_vae(latent_channels=2, norm_per_frame=norm_per_frame)
    modeldef, params, model_state = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    about = {
        "model": recipe,
        "dtype": "float32",
        "latent_shapes": [[3, 2, 2, 2]],
        "num_parameters": 1,
    }
    made = AnySizeCodec(
        modeldef, params | model_state, about | {"input": {"image_shape": [16, 16, 3]}}
    )
    made.save_pretrained(folder)
    return made


def test_chunks_of_a_codec_that_is_not_causal_warn_and_whole_clips_are_exact(tmp_path, capsys):
    made = cv_vae(tmp_path / "codec", norm_per_frame=False)
    film, report = tmp_path / "film.mp4", tmp_path / "r.json"
    write_video(film, 9, width=16)
    with VideoReader(film) as video:
        clip = np.stack(list(video))[None]
    whole = np.asarray(made.encode(clip).mode())
    difference = {}
    for chunk in ("4", "0"):
        line = (
            "encode",
            "--codec",
            str(tmp_path / "codec"),
            str(film),
            "--out",
            str(tmp_path / "z"),
        )
        assert run(*line, "--chunk", chunk, "--json", str(report)) == 0
        (entry,) = json.loads(report.read_text())["files"]
        warning = capsys.readouterr().err
        assert (
            ("not causal" in warning)
            == ("chunks of 4 frames" in " ".join(entry["remarks"]))
            == (chunk == "4")
        )
        latents = safetensors.numpy.load_file(tmp_path / "z" / "film.safetensors")["latents"]
        difference[chunk] = np.abs(latents - whole[0]).max()
    assert difference["0"] < 1e-5 < 1e-3 < difference["4"]


def test_chunks_only_warn_for_the_part_that_is_not_causal(tmp_path, capsys):
    cv_vae(tmp_path / "codec", norm_per_frame=True)
    write_video(tmp_path / "film.mp4", 9, width=16)
    common, report = (
        ("--codec", str(tmp_path / "codec"), "--json", str(tmp_path / "r.json")),
        tmp_path / "r.json",
    )
    for command, source, warns in (("encode", "film.mp4", False), ("decode", "encode", True)):
        chunk = "4" if command == "encode" else "1"
        out = str(tmp_path / command)
        assert run(command, *common, str(tmp_path / source), "--out", out, "--chunk", chunk) == 0
        (entry,) = json.loads(report.read_text())["files"]
        assert (
            ("not causal" in capsys.readouterr().err)
            == ("in chunks" in " ".join(entry["remarks"]))
            == warns
        )
