"""Checks before the first step of every start, while an error costs seconds instead of a night."""

import hashlib
import json
import math
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.training.runtime import cluster_status
from pipeline.training.state.train_state import TrainState


def check_devices(mesh: Mesh) -> None:
    """Check that all processes have equal devices, and that a sum over all devices is correct.

    Raises:
      ConfigError: a process differs, or the sum is wrong.
    """
    local = jax.local_devices()
    cluster_status.check_equal(
        {"the number and kind of devices": f"{len(local)} {local[0].device_kind}"}
    )
    placement = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    count = mesh.size
    ones = jax.make_array_from_callback(
        (count,), placement, lambda index: np.arange(1, count + 1)[index]
    )
    total = int(jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, PartitionSpec()))(ones))
    if total != count * (count + 1) // 2:
        raise ConfigError(
            f"a sum over the {count} devices gave {total} instead of {count * (count + 1) // 2}: "
            "a device or the network between them is faulty"
        )


def check_disk(folder: os.PathLike[str], shapes: TrainState) -> None:
    """Check that a folder has room for two checkpoints; a bucket is not checked.

    Raises:
      CheckpointError: there is less room; the message has both sizes.
    """
    if "://" in os.fspath(folder):
        return
    there = next(
        path for path in (pathlib.Path(folder), *pathlib.Path(folder).parents) if path.exists()
    )
    wanted = 2 * sum(
        math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes)
    )
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise CheckpointError(
            f"{folder} has room for {free / 1e9:.2f} GB, and two checkpoints take "
            f"{wanted / 1e9:.2f}: make room, or set checkpoint.folder to another disk"
        )


def check_same_state(run: TrainState, stage: TrainState, where: str) -> None:
    """Check that a stage trains the same state as its run.

    Raises:
      ConfigError: an array differs; the message names the first.
    """
    of_run, of_stage = (
        {
            jax.tree_util.keystr(path, simple=True, separator="."): (leaf.shape, leaf.dtype.name)
            for path, leaf in leaves
        }
        for leaves in (jax.tree_util.tree_leaves_with_path(state) for state in (run, stage))
    )
    different = sorted(
        name for name in of_run.keys() | of_stage.keys() if of_run.get(name) != of_stage.get(name)
    )
    if different:
        raise ConfigError(
            f"{where} has another model, discriminator or optimizer than the run: "
            f"{different[0]} differs"
        )


def check_agreement(config: Mapping[str, Any], fingerprint: str, start: int) -> None:
    """Check that config, dataset and first step are the same on all processes."""
    cluster_status.check_equal(
        {
            "the config": json.dumps(config, sort_keys=True),
            "the dataset (data.path)": fingerprint,
            "the newest checkpoint": str(start),
        }
    )


def check_program(lowered: jax.stages.Lowered) -> None:
    """Check that all processes compile the same step; different collectives would hang."""
    if jax.process_count() > 1:
        text = lowered.as_text()
        cluster_status.check_equal(
            {"the program of the training step (XLA)": hashlib.sha256(text.encode()).hexdigest()}
        )
