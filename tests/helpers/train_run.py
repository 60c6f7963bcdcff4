"""Trains a recipe in this process, as `strata train` does."""

import pathlib

from ml_collections import ConfigDict

from pipeline import build
from pipeline.training import loop


def train(config: ConfigDict, workdir: str | pathlib.Path, **options) -> None:
    """Train a recipe in `workdir`; `options` are passed to `loop.train`."""
    loop.train(build.run_spec(build.complete(config)), workdir, **options)
