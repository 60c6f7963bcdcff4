"""strata import: mistakes give one line, and a run at step 0 can be exported and trained."""

import json

import numpy as np
import pytest

from pipeline import Codec, cli
from pipeline.formats import state_dict
from pipeline.importers import openai_vdvae as openai_vdvae_importer
from pipeline.training.checkpoints.store import Checkpoints

RECIPE = "configs/vae/photos.py:tiny"


@pytest.fixture
def another_format(monkeypatch):
    """Replace the importer by one whose weights are all 0.01, so that no file is needed."""
    seen = {}

    def convert(tensors, shapes, *, path):
        seen.update(tensors)
        return {name: np.full(shape.shape, 0.01, np.float32) for name, shape in shapes.items()}

    monkeypatch.setattr(state_dict, "load", lambda path: {"of": np.zeros(1)})
    monkeypatch.setattr(openai_vdvae_importer, "convert", convert)
    return seen


def test_an_imported_run_is_exported_and_trained_on(another_format, tmp_path, capsys):
    out = tmp_path / "run"
    command = [
        "import",
        "--from",
        "openai-vdvae",
        "weights.th",
        "--config",
        RECIPE,
        "--out",
        str(out),
    ]
    assert cli.dispatch(command) == 0
    assert another_format
    assert "parameters of weights.th as step 0" in capsys.readouterr().out
    assert cli.dispatch(command) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert cli.dispatch(["export", "--workdir", str(out), "--out", str(tmp_path / "codec")]) == 0
    codec = Codec.from_pretrained(tmp_path / "codec")
    assert all(np.all(np.asarray(array) == np.float32(0.01)) for array in codec.weights.values())
    about = json.loads((tmp_path / "codec" / "config.json").read_text())
    assert about["training"]["step"] == 0
    assert about["training"]["imported_from"] == "openai-vdvae: weights.th"
    steps = ["--config.num_steps=1", "--config.eval.every=0", "--config.sample.every=0"]
    assert cli.dispatch(["train", "--config", RECIPE, "--workdir", str(out), *steps]) == 0
    assert (out / "DONE").exists()
    trained = Checkpoints(out / "checkpoints").arrays(1)["params"]
    assert all(np.abs(array - 0.01).max() < 0.005 for array in trained.values())


def test_mistakes_are_reported_in_a_line(tmp_path, capsys):
    out = str(tmp_path / "run")
    start = ["import", "--from", "openai-vdvae"]
    for arguments, message in (
        ([*start, "x.th", "--out", out], "--config FILE is missing"),
        ([*start, "--config", RECIPE, "--out", out], "takes FILE, but 0 were given"),
        (
            ["import", "--from", "taesd", "x.pth", "--out", out],
            "takes ENCODER and DECODER, but 1 were given",
        ),
        (["import", "x.th", "--config", RECIPE, "--out", out], "--from is missing"),
        (["import", "--from", "keras", "x.th", "--config", RECIPE, "--out", out], "from"),
        (
            [*start, "x.th", "--config", RECIPE, "--out", str(tmp_path.parent)],
            "exists and is not empty",
        ),
    ):
        assert cli.dispatch(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and "\n" not in error
    assert not (tmp_path / "run").exists()
