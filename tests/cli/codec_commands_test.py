"""`strata export`, `reconstruct`, `encode` and `decode` on a run of a few steps."""

import functools
import json
import re
import sys

import hub_server
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from tiny_codec import images, tiny_codec

from pipeline import Codec, cli
from pipeline.cli import export
from pipeline.codec import card
from pipeline.codec.media import image_files
from pipeline.core import grids
from pipeline.distances.pixel_error import psnr
from pipeline.distances.ssim import ssim
from pipeline.storage.paths import as_path

RECIPE = "configs/vdvae/cifar10.py:tiny"
SIZE = 16
TILED = "tiled 2x3 of 16x16, padded to 32x48"  # how an image of 20x37 is coded


def noise(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    arguments = [
        "--config",
        RECIPE,
        "--config.num_steps=2",
        "--config.eval.every=0",
        "--config.sample.every=0",
    ]
    assert cli.dispatch(["train", *arguments, "--workdir", str(folder)]) == 0
    assert cli.dispatch(["eval", "--workdir", str(folder), "--num_examples", "8"]) == 0
    return folder


@pytest.fixture(scope="module")
def codec(workdir):
    folder = workdir.parent / "codec"
    assert (
        cli.dispatch(
            ["export", "--workdir", str(workdir), "--out", str(folder), "--license", "mit"]
        )
        == 0
    )
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(noise(0, SIZE, SIZE)).save(folder / "whole.png")
    Image.fromarray(noise(1, 20, 37)).save(folder / "sub" / "large.png")
    return folder


def test_a_codec_has_the_ema_weights_and_describes_itself(workdir, codec, capsys):
    from pipeline.build.trained import load_for_inference
    from pipeline.core import parameters

    _, step, model = load_for_inference(workdir)
    loaded = Codec.from_pretrained(codec)
    for name, array in parameters.split(model)[1].items():
        np.testing.assert_array_equal(array, loaded.weights[name])
    about = json.loads((codec / "config.json").read_text())
    assert about["training"]["step"] == step == 2
    assert about["training"]["data"]["fingerprint"]
    measured = json.loads((workdir / "eval" / "2.json").read_text())
    assert about["metrics"]["psnr"] == measured["psnr"]
    assert "bits/dim" in (codec / "README.md").read_text()
    assert str(workdir) not in (codec / "config.json").read_text()
    with Image.open(codec / "preview.png") as preview:
        assert preview.width > 8 * SIZE


def test_export_pushes_to_a_hub(workdir, hub, tmp_path, monkeypatch, capsys):
    export = ["export", "--workdir", str(workdir), "--push", "me/digits", "--private"]
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    assert cli.dispatch([*export, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith(f"\n{hub.address}/me/digits\n")
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.repos["me/digits"] == files and "preview.png" in files and "me/digits" in hub.private
    for more in (["--push", "digits"], ["--push="]):
        assert cli.dispatch([*export, *more, "--out", str(tmp_path / "none")]) == 2


def test_the_card_has_the_figures_of_nested_results(tmp_path):
    factors = {"mig": 0.25, "mig_of_factor": {"shape": 0.1}, "num_examples": 300}
    anomaly = {"auroc_mse": 0.75, "examples": {"mse": [0.1] * 300}}
    result = {"psnr": 20.0, "factors": factors, "anomaly": anomaly, "num_examples": 300}
    (tmp_path / "eval").mkdir()
    result |= {"protocol": "EMA weights of step 7"}
    (tmp_path / "eval" / "7.json").write_text(json.dumps(result))
    metrics = export._metrics(as_path(str(tmp_path)), 7, ema=True)
    assert metrics["factors"] == {"mig": 0.25} and metrics["anomaly"] == {"auroc_mse": 0.75}
    text = card.render(tiny_codec("flat").config | {"metrics": metrics})
    assert "| mutual information gap | 0.250 | higher |" in text and "0.750" in text


def test_export_of_raw_weights_and_over_an_existing_folder(workdir, codec, tmp_path, capsys):
    out = tmp_path / "codec"
    export = ["export", "--workdir", str(workdir), "--out", str(out)]
    assert cli.dispatch([*export, "--raw_weights"]) == 0
    raw = Codec.from_pretrained(out)
    assert raw.fingerprint != Codec.from_pretrained(codec).fingerprint
    assert raw.config["metrics"] is None  # the evaluation measured the EMA weights
    assert cli.dispatch(export) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.dispatch([*export, "--overwrite"]) == 0
    assert Codec.from_pretrained(out).fingerprint == Codec.from_pretrained(codec).fingerprint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    assert (
        cli.dispatch(
            ["export", "--workdir", str(workdir), "--out", str(tmp_path / "mine"), "--overwrite"]
        )
        == 2
    )
    assert "something else than a codec" in capsys.readouterr().err


def test_reconstruct_keeps_the_size_and_measures_its_output(codec, pictures, tmp_path, capsys):
    out, result = tmp_path / "out", tmp_path / "result.json"
    command = [
        "reconstruct",
        "--codec",
        str(codec),
        str(pictures),
        "--out",
        str(out),
        "--json",
        str(result),
    ]
    assert cli.dispatch(command) == 0
    content = json.loads(result.read_text())
    files = {file["how"]: file for file in content["files"]}
    assert files.keys() == {"whole", TILED}
    assert TILED in capsys.readouterr().out
    for file in content["files"]:
        original, recon = (
            jnp.asarray(np.asarray(Image.open(file[key])))[None] for key in ("path", "out")
        )
        assert original.shape == recon.shape
        assert file["frames"] == 1
        assert file["psnr"] == pytest.approx(float(psnr(original, recon)[0]), abs=1e-4)
        assert file["ssim"] == pytest.approx(float(ssim(original, recon)[0]), abs=1e-5)
    for key in ("psnr", "ssim"):
        assert content[key] == pytest.approx(np.mean([file[key] for file in content["files"]]))
    assert (out / "sub" / "large.png").exists()


@pytest.mark.slow
def test_side_by_side_and_resize(codec, pictures, tmp_path):
    out = tmp_path / "out"
    command = [
        "reconstruct",
        "--codec",
        str(codec),
        str(pictures),
        "--out",
        str(out),
        "--json",
        "-",
    ]
    assert cli.dispatch([*command, "--side_by_side"]) == 0
    with Image.open(out / "sub" / "large.png") as both:
        assert both.size == (2 * 37, 20)
        np.testing.assert_array_equal(np.asarray(both)[:, :37], noise(1, 20, 37))
    assert cli.dispatch([*command, "--fit", "resize"]) == 0
    with Image.open(out / "sub" / "large.png") as small:
        assert small.size == (SIZE, SIZE)


def test_a_bad_file_is_reported_and_skipped(codec, pictures, tmp_path, capsys):
    (pictures / "bad.png").write_bytes(b"no image")
    out, result = tmp_path / "out", tmp_path / "result.json"
    for command, suffix in (("reconstruct", "png"), ("encode", "safetensors")):
        arguments = ["--codec", str(codec), str(pictures), "--out", str(out), "--json", str(result)]
        assert cli.dispatch([command, *arguments]) == 65
        assert "bad.png" in capsys.readouterr().err
        content = json.loads(result.read_text())
        assert [failure["path"] for failure in content["failed"]] == [str(pictures / "bad.png")]
        assert len(content["files"]) == 2
        assert (out / f"whole.{suffix}").exists()
    (out / "cut.safetensors").write_bytes((out / "whole.safetensors").read_bytes()[:-50])
    assert (
        cli.dispatch(["decode", "--codec", str(codec), str(out), "--out", str(tmp_path / "back")])
        == 65
    )
    assert "cut.safetensors" in capsys.readouterr().err
    assert (tmp_path / "back" / "whole.png").exists()


@pytest.mark.slow
def test_an_interrupted_command_resumes(codec, pictures, tmp_path, monkeypatch, capsys):
    source = pictures
    for command in ("reconstruct", "encode", "decode"):
        saved, save = [], image_files.save

        def counted(path, content, saved=saved, save=save, stop=True):
            if stop and saved:
                raise KeyboardInterrupt
            saved.append(path)
            save(path, content)

        line = [command, "--codec", str(codec), str(source), "--out", str(tmp_path / command)]
        with monkeypatch.context() as patched:
            patched.setattr(image_files, "save", counted)
            assert cli.dispatch(line) == 130
            patched.setattr(image_files, "save", functools.partial(counted, stop=False))
            assert cli.dispatch(line) == 0
        assert len(saved) == len(set(saved)) == 2
        assert capsys.readouterr().out.count("done before") == 1
        source = tmp_path / command
    assert (
        cli.dispatch(
            [
                "encode",
                "--codec",
                str(codec),
                str(pictures),
                "--out",
                str(source),
                "--fit",
                "resize",
            ]
        )
        == 0
    )
    assert "done before" not in capsys.readouterr().out


def test_without_a_readable_file_the_result_is_empty(codec, tmp_path):
    result = tmp_path / "result.json"
    arguments = [
        "--codec",
        str(codec),
        "absent.png",
        "--out",
        str(tmp_path / "out"),
        "--json",
        str(result),
    ]
    assert cli.dispatch(["reconstruct", *arguments]) == 65
    content = json.loads(result.read_text())
    assert content["files"] == [] and content["psnr"] is None


def test_encode_then_decode_equals_reconstruct(codec, pictures, tmp_path):
    latents, back, recon = (str(tmp_path / name) for name in ("latents", "back", "recon"))
    with_codec = ["--codec", str(codec)]
    assert cli.dispatch(["encode", *with_codec, str(pictures), "--out", latents]) == 0
    assert cli.dispatch(["decode", *with_codec, latents, "--out", back]) == 0
    assert cli.dispatch(["reconstruct", *with_codec, str(pictures), "--out", recon]) == 0
    for name in ("whole.png", "sub/large.png"):
        np.testing.assert_array_equal(Image.open(f"{back}/{name}"), Image.open(f"{recon}/{name}"))
    with safe_open(f"{latents}/sub/large.safetensors", "numpy") as file:
        assert file.metadata()["how"] == TILED
        assert file.get_slice("layer_000").get_shape() == [6, 1, 1, 4]


def test_errors_are_one_line(codec, workdir, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # another test may have imported it
    out = ["--out", str(tmp_path / "out")]
    for arguments, code, message in (
        (["reconstruct", "--codec", str(codec), str(pictures)], 2, "--out is missing"),
        (["reconstruct", str(pictures), *out], 2, "--codec is missing"),
        (["reconstruct", "--codec", str(codec), *out], 2, "name the files"),
        (["reconstruct", "--codec", "absent", str(pictures), *out], 2, "does not exist: a folder"),
        (["reconstruct", "--codec", str(workdir), str(pictures), *out], 65, "not that of a codec"),
        (
            ["reconstruct", "--codec", str(codec), str(pictures), "--out", str(pictures)],
            2,
            "would be replaced",
        ),
        (["encode", "--codec", str(codec), str(pictures), *out, "--fit", "squash"], 2, "fit"),
        (["decode", "--codec", str(codec), str(pictures), *out], 2, "no files to work on"),
        (["export", "--workdir", str(tmp_path), *out], 2, "holds no run"),
        (["export", "--workdir", str(workdir), "--step", "1", *out], 65, "no checkpoint of step 1"),
        (["export", "extra", "--workdir", str(workdir), *out], 2, "extra"),
    ):
        assert cli.dispatch(arguments) == code, arguments
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error, arguments
    assert "torch" not in sys.modules


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return a folder with a codec of five classes, and pictures in folders 0 and 3."""
    folder = tmp_path_factory.mktemp("labelled")
    tiny_codec("labelled").save_pretrained(folder / "codec")
    for name in ("0/a", "3/b"):
        path = folder / "in" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(noise(ord(name[0]), 8, 8)[..., 0]).save(path)
    return folder


def test_files_are_coded_with_their_classes(labelled, tmp_path):
    codec = Codec.from_pretrained(labelled / "codec")
    (tmp_path / "list.csv").write_text(
        f"path,label\n{labelled}/in/0/a.png,0\n{labelled}/in/3/b.png,3\n"
    )

    def command(name, label, out, *inputs):
        arguments = ["--codec", str(labelled / "codec"), "--out", str(tmp_path / out)]
        return cli.dispatch([name, *arguments, *inputs, *([f"--label={label}"] if label else [])])

    source = str(labelled / "in")
    for label, classes in (
        ("folders", (0, 3)),
        (str(tmp_path / "list.csv"), (0, 3)),
        ("4", (4, 4)),
    ):
        assert command("reconstruct", label, "recon", source) == 0
        for name, number in zip(("0/a", "3/b"), classes):
            image = np.asarray(Image.open(labelled / "in" / f"{name}.png"))[None, ..., None]
            shown = np.asarray(Image.open(tmp_path / "recon" / f"{name}.png"))
            expected = np.asarray(codec.reconstruct(image, label=number))[0, ..., 0]
            np.testing.assert_array_equal(shown, expected)
    assert command("encode", "folders", "z", source) == 0
    with safe_open(tmp_path / "z" / "3" / "b.safetensors", "numpy") as file:
        assert file.metadata()["label"] == "3"
    assert command("decode", "", "decoded", str(tmp_path / "z")) == 0
    assert command("reconstruct", "folders", "recon", source) == 0
    for name in ("0/a", "3/b"):
        one, two = (tmp_path / out / f"{name}.png" for out in ("decoded", "recon"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "label, message",
    [
        ("5", r"--label 5: .*a.png: label 5 is no class of this model: its 5 classes are 0 to 4"),
        ("cat", "the label 'cat' must be a number from 0, or -1"),
        ("absent.csv", "--label absent.csv: No such file"),
        ("LIST", r"LIST has no line for .*b.png"),
    ],
)
def test_wrong_classes_of_files_are_one_line(labelled, tmp_path, capsys, label, message):
    (tmp_path / "list.csv").write_text(f"path,label\n{labelled}/in/0/a.png,0\n")
    place = str(tmp_path / "list.csv")
    arguments = ["--codec", str(labelled / "codec"), "--out", str(tmp_path / "out")]
    label, message = (text.replace("LIST", place) for text in (label, message))
    assert cli.dispatch(["encode", *arguments, str(labelled / "in"), f"--label={label}"]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not list((tmp_path / "out").rglob("*.safetensors"))


def test_the_preview_has_the_classes_of_its_originals(monkeypatch):
    codec = tiny_codec("labelled")
    originals, label = np.asarray(images(codec, 2)), np.array([4, -1], np.int32)
    monkeypatch.setattr(export, "_held_out", lambda config: (originals, label))
    canvas, missing = export._preview(codec, {}, seed=0)
    rows = [originals, codec.reconstruct(originals, label=label)]
    rows.append(codec.sample(2, jax.random.key(0), label=label))
    texts = ["original", "reconstruction", "sample"]
    expected = grids.grid(np.concatenate(rows), columns=2, labels=texts)
    assert not missing
    np.testing.assert_array_equal(canvas, expected)
