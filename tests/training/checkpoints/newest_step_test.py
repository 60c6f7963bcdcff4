"""The newest complete checkpoint of a run is found without JAX, wherever the run is."""

import json
import os
import subprocess
import sys

import pytest
from bucket_servers import BUCKET

from pipeline.storage.paths import as_path
from pipeline.training.checkpoints.newest_step import main, newest_step


@pytest.mark.parametrize("place", ["local", "gs", "s3"])
def test_only_complete_checkpoints_count(place, tmp_path, bucket_servers):
    workdir = as_path(tmp_path if place == "local" else f"{place}://{BUCKET}/{tmp_path.name}")
    assert newest_step(workdir) == -1
    for step in ("5", "10", "10.damaged", "x"):
        (workdir / "checkpoints" / step).mkdir(parents=True)
        (workdir / "checkpoints" / step / "manifest.json").write_text("{}")
    (workdir / "checkpoints/20/params").mkdir(parents=True)
    (workdir / "checkpoints/20/params/data").write_text("")
    assert newest_step(workdir) == 10
    if place != "local":
        (workdir / "checkpoints/10/DAMAGED").write_text("checksum")
        assert newest_step(workdir) == 5


def test_the_config_may_place_checkpoints_elsewhere(tmp_path, bucket_servers):
    folder = as_path(f"gs://{BUCKET}/{tmp_path.name}")
    (folder / "3/manifest.json").write_text("{}")
    config = {"checkpoint": {"folder": str(folder)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert newest_step(tmp_path) == 3


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "give one folder"),
        (["hdfs://a/b"], 2, "hdfs:// is not supported"),
        (["/dev/null"], 1, "/dev/null: Not a directory"),
    ],
)
def test_errors_are_one_line(capsys, arguments, code, message):
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and said.err.count("\n") == 1


def test_jax_is_not_imported():
    code = (
        "import sys, pipeline.training.checkpoints.newest_step; "
        "sys.exit('jax' in sys.modules or 'tensorflow' in sys.modules)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    environment = os.environ | {"PYTHONPATH": root}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
