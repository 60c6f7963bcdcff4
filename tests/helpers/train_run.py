"""Trains a recipe and inspects a run in this process, as the commands do."""

import json
import os
import pathlib
import tempfile

from ml_collections import ConfigDict

from pipeline import build
from pipeline.cli import dispatch
from pipeline.training import loop


def train(config: ConfigDict, workdir: str | pathlib.Path, **options) -> None:
    """Train a recipe in `workdir`; `options` are passed to `loop.train`."""
    loop.train(build.run_spec(build.complete(config)), workdir, **options)


def digest_of(workdir: str | os.PathLike[str]) -> str:
    """Return the sha256 of the newest state, as `strata inspect` prints it."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "inspect.json"
        assert dispatch(["inspect", "--workdir", str(workdir), "--json", str(out)]) == 0
        return json.loads(out.read_text())["state_sha256"]
