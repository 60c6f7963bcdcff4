"""A recipe's sharded training step as a program, for devices that need not be there: from shapes alone."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from pipeline.backend import target
from pipeline.build import run as build
from pipeline.training.stages import Stage
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState

# A number, or an array of one number, in a program's text; what an array of several holds is left.
_NUMBER = re.compile(r"(?<=dense<)[-+.\w]+(?=> : tensor<(?:\d+x)*(?:f|bf)\d+>)")


def lower(stage: Stage, mesh: Mesh, platform: str) -> tuple[TrainState, jax.stages.Lowered]:
    """The shapes of the state, with their shardings, and the stage's last step as it is handed to the compiler."""
    settings = dict(stage.settings)
    modeldef, shapes = build.abstract(settings, mesh)
    with target.compiling_for(platform):
        step = build.step(settings, modeldef, mesh)
        frozen = () if step.frozen is None else (sharding.replicated_shapes(mesh, step.frozen),)
        program = step.program(step.variant(stage.end))
        return shapes, sharding.lower_step(program, shapes, batch_shapes(settings, mesh), *frozen)


def fingerprint(lowered: jax.stages.Lowered) -> str:
    """Equal for programs that differ in nothing but floating-point numbers: a loss's weight, a learning rate.

    These take the same memory and FLOPs. Whole numbers may be the turns of a loop, and count.
    """
    return hashlib.sha256(_NUMBER.sub("number", lowered.as_text()).encode()).hexdigest()


def batch_shapes(settings: Mapping[str, Any], mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of the recipe's, as shapes with the shardings that the loop gives them."""
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
