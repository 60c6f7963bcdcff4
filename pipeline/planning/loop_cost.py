"""Correct XLA's cost analysis of a step for its loops: XLA counts the body of a loop only once."""

from typing import Any

import jax

from pipeline.backend import target
from pipeline.build.outline import StageOutline
from pipeline.planning.lowering import lower
from pipeline.training.state import mesh as meshes


def growth(stage: StageOutline, platform: str) -> dict[str, float]:
    """Return the factor by which "flops" and "bytes accessed" grow when every iteration counts.

    Measured on the unpartitioned step for one device: once with its loops over layers and
    microbatches, and once with these loops unrolled.
    """
    rolled = _cost(stage, platform)
    with target.unrolling_layers():
        unrolled = _cost(stage.with_whole_batches(), platform)
    return {key: unrolled[key] / rolled[key] for key in ("flops", "bytes accessed")}


def _cost(stage: StageOutline, platform: str) -> Any:
    mesh = meshes.create(replica=1, fsdp=1, context=1, devices=jax.devices("cpu")[:1])
    return lower(stage, mesh, platform)[1].cost_analysis()
