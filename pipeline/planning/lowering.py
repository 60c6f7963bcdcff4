"""Lower a recipe's sharded training step from shapes alone, for devices that need not exist."""

import hashlib
import re

import jax
from jax.sharding import Mesh

from pipeline import build
from pipeline.backend import target
from pipeline.build.outline import StageOutline
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState

# A floating-point scalar, or an array filled with one, in a program's text; other arrays are kept.
_NUMBER = re.compile(r"(?<=dense<)[-+.\w]+(?=> : tensor<(?:\d+x)*(?:f|bf)\d+>)")


def lower(stage: StageOutline, mesh: Mesh, platform: str) -> tuple[TrainState, jax.stages.Lowered]:
    """Return the sharded shapes of the state, and the stage's last step lowered for `platform`."""
    modeldef, shapes = build.abstract_state(stage.config, mesh)
    with target.compiling_for(platform):
        step = build.step(stage.config, modeldef, mesh)
        frozen = sharding.replicated_shapes(mesh, step.frozen)
        program = step.program(step.variant(stage.end))
        return shapes, sharding.lower_step(program, shapes, batch_shapes(stage, mesh), frozen)


def fingerprint(lowered: jax.stages.Lowered) -> str:
    """Return a hash that is equal for programs that differ in floating-point constants only.

    Such programs (another loss weight or learning rate) take the same memory and FLOPs. Integers
    are hashed, because they may be the trip count of a loop.
    """
    return hashlib.sha256(_NUMBER.sub("number", lowered.as_text()).encode()).hexdigest()


def batch_shapes(stage: StageOutline, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of a batch of the stage, with the shardings of the training loop."""
    where = sharding.batch_sharding(mesh)
    return {
        key: jax.ShapeDtypeStruct(shape, dtype, sharding=sharding.sharding_of(where, len(shape)))
        for key, (shape, dtype) in stage.batch.items()
    }
