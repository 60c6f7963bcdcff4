"""`strata bench`: each benchmark reports the keys that scripts rely on, and imports little."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from bucket_servers import BUCKET

from pipeline.cli import bench_checkpoint, dispatch
from pipeline.storage.paths import as_path

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = """
from ml_collections import ConfigDict

def get_config(arg=""):
    return ConfigDict(dict(
        num_steps=2, batch_size=4, mesh=dict(replica=1, fsdp=1, context=1),
        data=dict(source="folder", path="/nowhere", image_size=8, channels=1),
        model=dict(
            name="vae.VAE", image_size=8, image_channels=1, channels=(8,), hidden=(16,),
            latent_dim=4,
        ),
        optimizer=dict(name="adamw", learning_rate=1e-3),
    ))
"""
# Runs the command, then lists the imported modules that a timed step has no use for.
IMPORTS = """
import sys
from pipeline.cli import dispatch
code = dispatch(sys.argv[1:])
print([name for name in ("clu", "tensorflow", "grain", "torch", "sklearn") if name in sys.modules])
sys.exit(code)
"""


@pytest.fixture
def recipe(tmp_path) -> pathlib.Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return path


def test_train_needs_neither_data_nor_code_that_reads_it(recipe, tmp_path):
    out = tmp_path / "out.json"
    arguments = [
        "bench",
        "train",
        "--config",
        recipe,
        "--config.batch_size=2",
        "--steps",
        "3",
        "--json",
        out,
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": os.environ["ONE_DEVICE_XLA_FLAGS"],
    }
    command = [sys.executable, "-c", IMPORTS, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
    result = json.loads(out.read_text())
    assert (
        result["batch_size"] == 2
        and len(result["ms_per_step_all"]) == 3
        and result["device"] == "cpu"
    )
    assert result["examples_per_s"] == pytest.approx(2000 / result["ms_per_step"], rel=0.01)
    for key in ("ms_per_step", "compile_s", "flops_per_step", "peak_bytes"):
        assert result[key] > 0, key


def test_checkpoint_reports_and_leaves_nothing_behind(capsys, tmp_path):
    flags = ["--megabytes", "8", "--rounds", "1", "--workdir", str(tmp_path), "--json", "-"]
    assert dispatch(["bench", "checkpoint", *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["state_bytes"] == pytest.approx(8e6, rel=0.1)
    assert result["blocked_s"] > 0 and result["synchronous_s"] > 0 and result["ratio"] > 0
    if sys.platform == "linux":
        assert result["restore_memory_ratio"] > 0
    assert not list(tmp_path.iterdir()), "the saved state is removed"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_checkpoint_compares_with_tensorstore_alone_in_a_bucket(
    scheme, bucket_servers, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(bench_checkpoint, "_memory", lambda *given: None)  # a process of its own
    workdir = f"{scheme}://{BUCKET}/{tmp_path.name}"
    flags = ["--megabytes", "2", "--rounds", "1", "--workdir", workdir, "--json", "-"]
    assert dispatch(["bench", "checkpoint", *flags]) == 0
    result = json.loads(capsys.readouterr().out)
    for kind in ("save", "restore"):
        assert result[f"{kind}_mb_per_s"] > 0 and result[f"tensorstore_{kind}_mb_per_s"] > 0
    assert result["blocked_s"] > 0 and result["synchronous_s"] > 0
    assert not as_path(workdir).exists(), "the saved state is removed"


def test_data_reports_a_rate(capsys):
    flags = [
        "--source",
        "digits",
        "--image_size",
        "8",
        "--num_batches",
        "10",
        "--batch_size",
        "16",
        "--json",
        "-",
    ]
    assert dispatch(["bench", "data", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["images_per_s"] > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["trian"], "did you mean 'train'?"),
        (["train"], "--config FILE is missing"),
        (["train", "extra"], "extra"),
        (["checkpoint", "--megabytes", "0"], "megabytes"),
        (["checkpoint", "--workdir", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    assert dispatch(["bench", *arguments]) == 2
    shown = capsys.readouterr().err.strip()
    assert message in shown and "\n" not in shown


def test_help_lists_the_benchmarks(capsys):
    assert dispatch(["bench", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"strata bench {name}" in shown for name in ("train", "data", "checkpoint"))
