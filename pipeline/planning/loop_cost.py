"""What a step computes in all turns of its loops: XLA counts the body of a loop a single time."""

import dataclasses
from typing import Any

import jax

from pipeline.backend import target
from pipeline.planning.lowering import lower
from pipeline.training.stages import Stage
from pipeline.training.state import mesh as meshes


def growth(stage: Stage, platform: str) -> dict[str, float]:
    """How much larger XLA's "flops" and "bytes accessed" are when every turn of the step's loops is counted.

    Counted on the step as it is written, for one device: with its loops over layers and over parts of the batch, and
    without.
    """
    once = _counts(stage, platform)
    with target.written_out():
        settings = dict(stage.settings) | {"grad_accum_steps": 1}
        every = _counts(dataclasses.replace(stage, settings=settings), platform)
    return {key: every[key] / once[key] for key in ("flops", "bytes accessed")}


def _counts(stage: Stage, platform: str) -> Any:
    mesh = meshes.create(replica=1, fsdp=1, context=1, devices=jax.devices("cpu")[:1])
    return lower(stage, mesh, platform)[1].cost_analysis()
