"""Metrics of `strata reconstruct`: LPIPS from files, MS-SSIM of large frames, flicker of videos."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from squeezenet_weights import heads, made_up
from tiny_video_codec import tiny_codec, write_video

from pipeline.cli import dispatch
from pipeline.codec.media.video_io import VideoReader
from pipeline.distances.flicker import flicker
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.frozen import lpips


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> pathlib.Path:
    """Return a folder with a codec, a video, a picture and the weights of a network."""
    folder = tmp_path_factory.mktemp("figures")
    tiny_codec().save_pretrained(folder / "codec")
    (folder / "in").mkdir()
    write_video(folder / "in" / "film.mp4", 5, height=24, width=24)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(
        folder / "in/photo.png"
    )
    safetensors.numpy.save_file(made_up(), folder / "trunk.safetensors")
    safetensors.numpy.save_file(heads(), folder / "heads.safetensors")
    return folder


def reconstruct(place: pathlib.Path, out: pathlib.Path, *more: str) -> int:
    command = [
        "reconstruct",
        "--codec",
        str(place / "codec"),
        str(place / "in"),
        "--out",
        str(out),
        *more,
    ]
    return dispatch([*command, "--chunk", "4", "--json", str(out.with_suffix(".json"))])


def test_lpips_per_file_and_on_average(place, tmp_path, capsys):
    names = {key: str(place / f"{key}.safetensors") for key in ("trunk", "heads")}
    flags = ("--perceptual.network=squeezenet", f"--perceptual.weights={names['trunk']}")
    flags = (*flags, f"--perceptual.heads={names['heads']}", "--side_by_side")
    assert reconstruct(place, tmp_path / "out", *flags) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    film, photo = sorted(result["files"], key=lambda entry: entry["path"])
    distance, weights = lpips.create("squeezenet", weights=names["trunk"], heads=names["heads"])
    shown = np.asarray(Image.open(tmp_path / "out" / "photo.png"))[None]
    expected = jax.jit(distance)(
        weights, jnp.asarray(shown[:, :, :16]), jnp.asarray(shown[:, :, 16:])
    )
    assert photo["lpips_squeeze"] == pytest.approx(float(expected[0]), rel=1e-4)
    mean = (film["lpips_squeeze"] + photo["lpips_squeeze"]) / 2
    assert result["lpips_squeeze"] == pytest.approx(mean) and mean > 0
    # 24 pixels have room for two scales, 16 for one, which is SSIM. A picture has no flicker.
    assert set(film) - set(photo) == {"fps", "seconds", "ms_ssim_2_scales", "flicker"}
    assert result["num_files"] == dict(
        psnr=2, ssim=2, ms_ssim_2_scales=1, flicker=1, lpips_squeeze=2
    )
    assert (
        fingerprint_of(weights)[:12] in result["protocol"]
        and "2 finest scales" in result["protocol"]
    )
    assert "LPIPS" not in result["protocol"].split("lpips_squeeze:")[0]
    assert "LPIPS on SqueezeNet 0." in capsys.readouterr().out or mean >= 1


@pytest.mark.slow
def test_flicker_of_a_file_equals_flicker_of_its_frames(place, tmp_path):
    assert reconstruct(place, tmp_path / "out") == 0
    film = next(
        f for f in json.loads((tmp_path / "out.json").read_text())["files"] if f["frames"] == 5
    )
    with VideoReader(place / "in" / "film.mp4") as video:
        clip = np.stack(list(video))[None]
    expected = flicker(jnp.asarray(clip), jnp.asarray(tiny_codec().reconstruct(clip, chunk=4)))
    assert film["flicker"] == pytest.approx(float(expected[0]), rel=1e-3) and film["flicker"] > 0.01


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ("--perceptual.weights=nowhere.pth", "--perceptual.heads=h.pth"),
            "nowhere.pth: there is no such file",
        ),
        (("--perceptual.weights=HEADS", "--perceptual.heads=HEADS"), "is not VGG16"),
        (
            ("--perceptual.weights=TRUNK",),
            "--perceptual.heads is empty: LPIPS on vgg16 needs its learned heads",
        ),
        (("--perceptual.heads=HEADS",), "--perceptual.weights is missing"),
        (("--perceptual.network=vgg19", "--perceptual.weights=TRUNK"), "did you mean 'vgg16'"),
    ],
)
def test_invalid_files_print_one_line(place, tmp_path, capsys, flags, message):
    files = {"TRUNK": str(place / "trunk.safetensors"), "HEADS": str(place / "heads.safetensors")}
    for name, path in files.items():
        flags = tuple(flag.replace(name, path) for flag in flags)
    assert reconstruct(place, tmp_path / "out", *flags) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and message in said[0] and not (tmp_path / "out").exists()
