"""A complete recipe -> the RunSpec that the train loop receives."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import Mesh

from pipeline.build import data, init, stages, state, steps, teacher
from pipeline.core import chips
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.training.provenance import Provenance
from pipeline.training.run_spec import (
    CheckpointOptions,
    DivergenceOptions,
    EvalOptions,
    RunSpec,
    RuntimeOptions,
    StageRun,
)
from pipeline.training.runtime import cluster_status, preflight
from pipeline.training.state import train_state as states
from pipeline.training.state.train_state import TrainState


def run_spec(config: dict[str, Any]) -> RunSpec:
    """Build everything a run needs but its first state; all processes of a run must call it.

    All stages are set up here, so that the errors of the last one show before the first begins.

    Raises:
      ConfigError, DataError: settings contradict each other or the data, on any process.
    """
    began = time.monotonic()
    with cluster_status.raise_on_all_processes("setting up"):
        mesh, extras = state.mesh(config), state.extras(config)
        shapes = state.abstract_state(config, mesh)[1]
        stage_runs = _stage_runs(config, mesh, shapes)
        provenance = _provenance(config, stage_runs)
        first = stage_runs[0]
        cache = data.latent_cache(config, first.modeldef, first.data)
        warning = init.latent_warning(config, first.modeldef.param_names)
    device_kind, seed = mesh.devices.flat[0].device_kind, config["seed"]
    return RunSpec(
        name=config["model"]["name"],
        provenance=provenance,
        seed=seed,
        mesh=mesh,
        peak_flops=chips.peak_flops(device_kind, config["dtype"]),
        shapes=shapes,
        initial_state=lambda: state.initial_state(config, shapes),
        new_discriminator=lambda after: states.new_discriminator(extras, shapes, seed, after),
        stages=stage_runs,
        checkpoint=CheckpointOptions(**config["checkpoint"]),
        divergence=DivergenceOptions(**config["divergence"]),
        runtime=RuntimeOptions(
            log_every=config["log"]["every"],
            watchdog_minutes=config["watchdog"]["minutes"],
            grace_seconds=config["preemption"]["grace_seconds"],
        ),
        began=began,
        notes=[warning] if warning else [],
        latent_cache=cache,
    )


def _stage_runs(config: Mapping[str, Any], mesh: Mesh, shapes: TrainState) -> list[StageRun]:
    """Set up all stages; stages with the same config.data share a dataset.

    Raises:
      ConfigError, DataError: a stage is impossible, or its state does not match `shapes`.
    """
    runs: list[StageRun] = []
    opened: list[tuple[Any, Any]] = []  # config.data of a stage, and its dataset
    for stage in stages.split(config):
        own = stage.config
        state.mesh(own)  # for its checks
        modeldef, of_stage = state.abstract_state(own, mesh)
        preflight.check_same_state(shapes, of_stage, f"config.stages[{stage.number}]")
        same = [found for settings, found in opened if settings == own["data"]]
        dataset = same[0] if same else data.dataset(own)
        opened.append((own["data"], dataset))
        model = modeldef.skeleton()
        codec = model if model.codec_kind == "any_size" else None
        data.check_dataset(own, dataset, codec=codec)
        runs.append(
            StageRun(
                number=stage.number,
                begin=stage.begin,
                end=stage.end,
                batch_size=own["batch_size"],
                data=dataset,
                modeldef=modeldef,
                step=steps.step(own, modeldef, mesh),
                eval=_eval_options(own),
                reset_discriminator=stage.reset_discriminator,
            )
        )
    return runs


def _eval_options(config: Mapping[str, Any]) -> EvalOptions:
    return EvalOptions(
        **config["eval"],
        sample_every=config["sample"]["every"],
        num_samples=config["sample"]["num"],
        likelihood=config["step"] == "elbo",
    )


def _provenance(config: dict[str, Any], stage_runs: Sequence[StageRun]) -> Provenance:
    prints = list(dict.fromkeys(stage.data.fingerprint for stage in stage_runs))
    frozen = {fingerprint_of(stage.step.frozen) for stage in stage_runs if stage.step.frozen}
    dataset = {
        "source": config["data"]["source"],
        "path": config["data"].get("path", ""),
        "num_examples": stage_runs[0].data.num_examples,
        "fingerprint": prints[0]
        if len(prints) == 1
        else hashlib.sha256(" ".join(prints).encode()).hexdigest(),
    }
    return Provenance(
        config, dataset, sorted(frozen) or None, init.origin(config), teacher.origin(config)
    )
