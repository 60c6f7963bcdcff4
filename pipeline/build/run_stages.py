"""What each stage of a run runs on: its data, its step, its reports."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jax.sharding import Mesh

from pipeline.build import run as build
from pipeline.build import stages
from pipeline.core.parameters import ModelDef
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.training.monitoring.evaluation import Reports
from pipeline.training.runtime import preflight
from pipeline.training.state.train_state import TrainState
from pipeline.training.steps.adversarial import AdversarialStep
from pipeline.training.steps.elbo import ElboStep


@dataclasses.dataclass
class Part:
    """A stage, and what it runs on; `frozen` on the devices and `reports` come when they are wanted."""

    stage: stages.Stage
    settings: dict[str, Any]
    data: Any
    modeldef: ModelDef
    step: ElboStep | AdversarialStep
    frozen: Any = None
    reports: Reports | None = None


def set_up(settings: Mapping[str, Any], mesh: Mesh, shapes: TrainState) -> list[Part]:
    """All stages of a run at once, so that the last one's faults show before the first begins.

    Raises:
      ConfigError, DataError: what a stage asks for cannot be, or it trains another state than `shapes`.
    """
    parts: list[Part] = []
    for stage in stages.split(settings):
        own = dict(stage.settings)
        build.mesh(own)
        modeldef, of_stage = build.abstract(own, mesh)
        preflight.check_same_state(shapes, of_stage, f"config.stages[{stage.number}]")
        same = [part.data for part in parts if part.settings["data"] == own["data"]]
        data = same[0] if same else build.data(own)
        factor = getattr(modeldef.merge(of_stage.params, of_stage.model_state), "spatial_factor", 1)
        preflight.check_data(own, data, spatial_factor=factor)
        parts.append(Part(stage, own, data, modeldef, build.step(own, modeldef, mesh)))
    return parts


def fingerprint(parts: list[Part]) -> list[str] | None:
    """Which frozen networks the stages have; None without any."""
    found = {fingerprint_of(part.step.frozen) for part in parts if part.step.frozen}
    return sorted(found) or None
