"""Lower a recipe's sharded training step from shapes alone, for devices that need not exist."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from pipeline import build
from pipeline.backend import target
from pipeline.build.stages import Stage
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState

# A floating-point scalar, or an array filled with one, in a program's text; other arrays are kept.
_NUMBER = re.compile(r"(?<=dense<)[-+.\w]+(?=> : tensor<(?:\d+x)*(?:f|bf)\d+>)")


def lower(stage: Stage, mesh: Mesh, platform: str) -> tuple[TrainState, jax.stages.Lowered]:
    """Return the sharded shapes of the state, and the stage's last step lowered for `platform`."""
    settings = dict(stage.config)
    modeldef, shapes = build.abstract_state(settings, mesh)
    with target.compiling_for(platform):
        step = build.step(settings, modeldef, mesh)
        frozen = () if step.frozen is None else (sharding.replicated_shapes(mesh, step.frozen),)
        program = step.program(step.variant(stage.end))
        return shapes, sharding.lower_step(program, shapes, batch_shapes(settings, mesh), *frozen)


def fingerprint(lowered: jax.stages.Lowered) -> str:
    """Return a hash that is equal for programs that differ in floating-point constants only.

    Such programs (another loss weight or learning rate) take the same memory and FLOPs. Integers
    are hashed, because they may be the trip count of a loop.
    """
    return hashlib.sha256(_NUMBER.sub("number", lowered.as_text()).encode()).hexdigest()


def batch_shapes(settings: Mapping[str, Any], mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a batch of the recipe, with the shardings of the training loop."""
    data, rows = settings["data"], settings["batch_size"]
    where = sharding.batch_sharding(mesh)
    frame = (data["image_size"], data["image_size"], data.get("channels", 3))
    clip = (
        ("video", (rows, data["num_frames"], *frame))
        if "num_frames" in data
        else ("image", (rows, *frame))
    )
    shapes = {
        clip[0]: (clip[1], np.uint8),
        "label": ((rows,), np.int32),
        "index": ((rows,), np.int32),
        "mask": ((rows,), np.float32),
    }
    return {
        key: _shape(shape, dtype, sharding.sharding_of(where, len(shape)))
        for key, (shape, dtype) in shapes.items()
    }


def _shape(shape: tuple[int, ...], dtype: Any, where: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=where)
