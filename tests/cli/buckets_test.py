"""Commands whose files and folders are in buckets do what they do with local ones."""

import json

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from tiny_codec import tiny_codec

from pipeline import cli
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
