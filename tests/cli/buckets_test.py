"""Commands whose files and folders are in buckets do what they do with local ones."""

import json
import pathlib

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from released_weights import sample_of
from tiny_codec import tiny_codec
from tiny_run import recipe
from train_run import train

from pipeline import Codec, cli
from pipeline.cli.export import _check_out
from pipeline.storage import transfer


@pytest.fixture
def pictures(tmp_path, remote):
    """Two pictures and a codec, below tmp_path and in the bucket alike."""
    for name, size in (("pictures/whole.png", 8), ("pictures/sub/large.v2.png", 13)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(size).integers(0, 256, (size, size), np.uint8)
        Image.fromarray(noise).save(path)
        transfer.upload(path, remote / name)
    for folder in (tmp_path, remote):
        tiny_codec("flat").save_pretrained(folder / "codec")


def content_of(path):
    """Return the bytes of a file; of latents the tensors, because their header has no order."""
    content = path.read_bytes()
    return safetensors.numpy.load(content) if path.suffix == ".safetensors" else content


@pytest.mark.parametrize("remote", ["gs"], indirect=True)
@pytest.mark.usefixtures("pictures")
def test_the_codec_commands_write_the_same_files_and_resume(tmp_path, remote, capsys):
    steps = {"encode": "pictures", "decode": "encode", "reconstruct": "pictures"}
    command = []
    for name, source in steps.items():
        for root in (tmp_path, remote):
            command = [name, "--codec", f"{root}/codec", f"{root}/{source}"]
            command += ["--out", f"{root}/{name}", "--json", f"{root}/{name}.json"]
            assert cli.dispatch(command) == 0
        result = json.loads((remote / f"{name}.json").read_text())
        assert len(result["files"]) == 2
        for each in result["files"]:
            assert each["path"].startswith(f"{remote}/{source}/")
            place = each["out"].removeprefix(f"{remote}/")
            np.testing.assert_equal(content_of(remote / place), content_of(tmp_path / place))
    (remote / "reconstruct" / "whole.png").unlink()
    capsys.readouterr()
    assert cli.dispatch(command) == 0
    assert capsys.readouterr().out.count("done before") == 1
    (remote / "pictures" / "bad.png").write_text("no image")
    assert cli.dispatch(command) == 65
    assert f"strata reconstruct: {remote}/pictures/bad.png: not an" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A local run of two steps."""
    config = recipe()
    config.update(dict(num_steps=2, mesh=dict(fsdp=1)))
    config.checkpoint.every = 1
    config.data.eval_fraction = 0.01
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(config, folder)
    return folder


@pytest.fixture
def run(trained, remote):
    """The same run in the bucket."""
    for file in trained.rglob("*"):
        if file.is_file():
            transfer.upload(file, remote / "run" / file.relative_to(trained))
    return remote / "run"


@pytest.mark.parametrize("remote", ["gs"], indirect=True)
def test_checkpoints_in_a_bucket_are_listed_and_verified(trained, run, tmp_path, remote):
    assert cli.dispatch(["checkpoint", "list", str(run), "--json", f"{remote}/list.json"]) == 0
    there = json.loads((remote / "list.json").read_text())["checkpoints"]
    assert (
        cli.dispatch(["checkpoint", "list", str(trained), "--json", f"{tmp_path}/list.json"]) == 0
    )
    here = json.loads((tmp_path / "list.json").read_text())["checkpoints"]
    assert [each.pop("written")[:2] for each in (*here, *there)] == ["20"] * 4
    assert here == there and [each["state"] for each in here] == ["whole", "whole"]

    assert cli.dispatch(["checkpoint", "verify", str(run), "--json", f"{remote}/good.json"]) == 0
    assert json.loads((remote / "good.json").read_text())["good"]
    (run / "checkpoints/2/DAMAGED").write_text("why")
    assert cli.dispatch(["checkpoint", "list", str(run), "--json", f"{remote}/list.json"]) == 0
    there = json.loads((remote / "list.json").read_text())["checkpoints"]
    assert [each["state"] for each in there] == ["whole", "damaged"]


@pytest.mark.parametrize("remote", ["s3"], indirect=True)
def test_a_run_in_a_bucket_is_evaluated_sampled_and_exported(run, remote, capsys):
    work = ["--workdir", str(run)]
    assert cli.dispatch(["eval", *work, "--num_examples=8", "--json", f"{remote}/eval.json"]) == 0
    assert json.loads((run / "eval/2.json").read_text()) == json.loads(
        (remote / "eval.json").read_text()
    )
    assert cli.dispatch(["sample", *work, "--num=4", "--out", f"{remote}/grid.png"]) == 0
    assert (remote / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert cli.dispatch(["inspect", *work, "--json", f"{remote}/inspect.json"]) == 0
    assert json.loads((remote / "inspect.json").read_text())["steps"] == [1, 2]

    export = ["export", *work, "--out", f"{remote}/codec"]
    assert cli.dispatch(export) == 0
    capsys.readouterr()
    assert cli.dispatch(export) == 2
    assert f"--out {remote}/codec is not empty: give --overwrite" in capsys.readouterr().err
    _check_out(remote / "codec", overwrite=True, first="model.safetensors")
    codec = Codec.from_pretrained(f"{remote}/codec")
    assert codec.config["metrics"]["num_examples"] == 8  # of the evaluation in the bucket
    assert (remote / "codec" / "preview.png").exists()
    assert cli.dispatch(["inspect", "--codec", f"{remote}/codec"]) == 0
    (remote / "mine/thesis.tex").write_text("")
    assert cli.dispatch([*export[:-1], f"{remote}/mine", "--overwrite"]) == 2
    assert "holds something else than a codec" in capsys.readouterr().err


@pytest.mark.parametrize("remote", ["gs"], indirect=True)
def test_released_weights_are_imported_from_a_bucket_into_one(tmp_path, remote, monkeypatch):
    sample = sample_of("taesd", monkeypatch)
    files = sample.write(tmp_path / "released", sample.tensors)
    for file in files:
        transfer.upload(pathlib.Path(file), remote / pathlib.Path(file).name)
    there = [f"{remote}/{pathlib.Path(file).name}" for file in files]
    for paths, out in ((files, f"{tmp_path}/codec"), (there, f"{remote}/codec")):
        assert cli.dispatch(["import", "--from", "taesd", *paths, "--out", out]) == 0
    for name in ("config.json", "README.md"):
        content = (remote / "codec" / name).read_bytes()
        assert content == (tmp_path / "codec" / name).read_bytes()
    assert cli.dispatch(["import", "--from", "taesd", *there, "--out", f"{remote}/codec"]) == 2


@pytest.mark.parametrize("remote", ["s3"], indirect=True)
def test_examples_are_written_into_a_bucket(tmp_path, remote):
    file = tmp_path / "recipe.py"
    file.write_text("import tiny_run\ndef get_config(arg=''):\n    return tiny_run.recipe()\n")
    command = ["data", "examples", "--config", str(file), "--num=2", "--out"]
    for out in (tmp_path, remote):
        assert cli.dispatch([*command, f"{out}/examples"]) == 0
    names = [path.name for path in sorted((remote / "examples").iterdir())]
    assert len(names) == 2
    for name in names:
        content = (remote / "examples" / name).read_bytes()
        assert content == (tmp_path / "examples" / name).read_bytes()


RECIPE = ["--config", "configs/quickstart/digits.py:tiny"]


@pytest.mark.parametrize(
    "command",
    [
        ["eval", "--workdir", "PATH"],
        ["eval", "--workdir", "run", "--json", "PATH"],
        ["eval", "--workdir", "run", "--perceptual.weights", "PATH"],
        ["eval", "--workdir", "run", "--features.weights", "PATH"],
        ["sample", "--workdir", "run", "--out", "PATH"],
        ["inspect", "--workdir", "PATH"],
        ["inspect", "--codec", "PATH"],
        ["plan", *RECIPE, "--topology", "cpu:8", "--json", "PATH"],
        ["checkpoint", "list", "PATH"],
        ["checkpoint", "verify", "PATH"],
        ["export", "--workdir", "run", "--out", "PATH"],
        ["reconstruct", "--codec", "codec", "in", "--out", "PATH"],
        ["encode", "--codec", "PATH", "in", "--out", "out"],
        ["decode", "--codec", "codec", "PATH", "--out", "out"],
        ["data", "pack", "PATH", "--out", "out"],
        ["data", "pack", "images", "--out", "PATH"],
        ["data", "examples", *RECIPE, "--out", "PATH"],
        ["import", "--from", "openai-vdvae", "PATH", "--out", "out"],
        ["import", "--from", "openai-vdvae", "FILE", "--out", "PATH"],
        ["bench", "data", "--path", "PATH"],
        ["train", *RECIPE, "--workdir", "PATH"],
    ],
)
def test_other_schemes_are_refused_before_anything_starts(command, capsys):
    command = [part.replace("PATH", "hdfs://host/a.png") for part in command]
    assert cli.dispatch(command) == 2
    error = capsys.readouterr().err
    assert "hdfs://host/a.png: hdfs:// is not supported: give a local path" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("key", ["path", "eval_path"])
def test_other_schemes_of_data_are_refused(key, capsys, tmp_path):
    settings = [f"--config.data.{key}=http://host/packed", "--config.data.source=records"]
    path = [] if key == "path" else [f"--config.data.path={_packed(tmp_path)}"]
    command = ["train", *RECIPE, *settings, *path, "--workdir", f"{tmp_path}/run"]
    assert cli.dispatch(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"data.{key} http://host/packed: http:// is not supported" in error
    assert not (tmp_path / "run").exists()


def _packed(folder):
    np.save(folder / "images.npy", np.zeros((64, 16, 16, 3), np.uint8))
    assert cli.dispatch(["data", "pack", f"{folder}/images.npy", "--out", f"{folder}/packed"]) == 0
    return folder / "packed"


def test_a_bucket_that_fails_later_is_named_in_a_line(remote, bucket_servers, monkeypatch, capsys):
    tiny_codec("flat").save_pretrained(remote / "codec")

    def fail(path):
        raise PermissionError(13, "no permission: ask for it", str(path))

    monkeypatch.setattr(type(remote), "read_bytes", fail)
    assert cli.dispatch(["checkpoint", "list", str(remote / "codec")]) == 2
    assert "config.json: no permission: ask for it\n" in capsys.readouterr().err
