"""What must hold before the first step, checked on every start: a fault found here costs seconds, and not a night."""

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

from pipeline.core.errors import CheckpointError, ConfigError, DataError
from pipeline.data.videos.buckets import shapes_of
from pipeline.training.runtime import cluster_status
from pipeline.training.state.train_state import TrainState


def check_devices(mesh: Mesh) -> None:
    """Every process has the same number of devices, of one kind, and a sum over all devices comes out right.

    Raises:
      ConfigError: which process differs, or what the sum was.
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
    """There is room for two checkpoints; of a bucket nothing is known.

    Raises:
      CheckpointError: how much there is, and how much is wanted.
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
            f"{folder} has room for {free / 1e9:.2f} GB, and two checkpoints take {wanted / 1e9:.2f}: make room, or "
            "set checkpoint.folder to another disk"
        )


def check_data(settings: Mapping[str, Any], data: Any, *, spatial_factor: int = 1) -> None:
    """The dataset fits the batch and the model, which has `spatial_factor` pixels each way to a latent.

    Raises:
      ConfigError, DataError: which setting to change.
    """
    height, _, channels = data.transform.shape
    model = settings["model"]
    if model.get("image_size", height) != height:
        raise ConfigError(
            f"model.image_size={model['image_size']}, but data.image_size={height}: make them equal"
        )
    if model.get("image_channels", 3) != channels:
        raise ConfigError(
            f"model.image_channels={model.get('image_channels', 3)}, but data.channels={channels}: make them equal"
        )
    buckets = shapes_of(settings["data"].get("buckets", ()))
    key = "data.buckets" if buckets else "data.image_size"
    for shape in buckets or [(height, height)]:
        if any(side % spatial_factor for side in shape):
            raise ConfigError(
                f"{key}: {shape[0]}x{shape[1]} must be multiples of {spatial_factor}, the pixels each way to a latent "
                f"of {model['name']}"
            )
    if settings["batch_size"] > data.num_examples:
        raise DataError(
            f"there are {data.num_examples} training examples, fewer than batch_size={settings['batch_size']}: "
            f"lower batch_size or add {data.what}"
        )
    if settings["eval"]["every"] and not data.num_eval_examples:
        raise DataError(
            "there is nothing to evaluate on: set data.eval_path or data.eval_fraction, or eval.every=0"
        )


def check_same_state(run: TrainState, stage: TrainState, where: str) -> None:
    """A stage trains the same state as the run that it is part of.

    Raises:
      ConfigError: the first array that differs.
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
            f"{where} is of another model, discriminator or optimiser than the run: {different[0]} differs"
        )


def check_agreement(settings: Mapping[str, Any], fingerprint: str, start: int) -> None:
    """The config, the dataset and the step to start from are the same on all processes."""
    cluster_status.check_equal(
        {
            "the config": json.dumps(settings, sort_keys=True),
            "the dataset (data.path)": fingerprint,
            "the newest checkpoint": str(start),
        }
    )


def check_program(lowered: jax.stages.Lowered) -> None:
    """The step to compile is the same on all processes: else they would wait in different collectives for ever."""
    if jax.process_count() > 1:
        text = lowered.as_text()
        cluster_status.check_equal(
            {"the program of the training step (XLA)": hashlib.sha256(text.encode()).hexdigest()}
        )
