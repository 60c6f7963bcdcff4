"""Plan a run: the memory of its steps, whether they fit, and how long the whole run would take."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jax.sharding import AbstractMesh

from pipeline.build.outline import RunOutline, StageOutline
from pipeline.core.chips import Chip
from pipeline.core.errors import ConfigError
from pipeline.planning import estimates, topology
from pipeline.planning.child import compile_stages
from pipeline.planning.topology import Topology
from pipeline.training.state import mesh as meshes

# Copied from the stage that needs the most memory to the plan as a whole.
_FIGURES = (
    "parameters",
    "frozen_parameters",
    "state_bytes_per_device",
    "saved_state_bytes_per_device",
    "argument_bytes_per_device",
    "temp_bytes_per_device",
    "total_bytes_per_device",
    "compiled",
    "flops_per_device",
    "accessed_bytes_per_device",
    "collectives",
    "fits",
)


def plan(
    run: RunOutline,
    description: str,
    *,
    utilisation: float = 0.4,
    preemptions_per_day: float = 1.0,
    save_seconds: float = 5.0,
    quick: bool = False,
) -> dict[str, Any]:
    """Return the plan of a complete recipe on the machine `description` (see planning.topology).

    "stages" holds the figures of each stage (`compile_stages`), with `fits` and the seconds of a
    step. Memory, FLOPs and collectives of the plan are copied from "worst_stage", the stage that
    needs the most memory; `estimate` covers all stages. `fits` is None for a CPU, whose memory is
    unknown here.

    Raises:
      ConfigError: the machine cannot be compiled for, or the recipe does not fit its mesh.
    """
    if not 0 < utilisation <= 1:
        raise ConfigError(f"--utilisation {utilisation} must be above 0, and at most 1")
    if not 0 <= preemptions_per_day < math.inf or not 0 < save_seconds < math.inf:
        raise ConfigError("--preemptions_per_day must be 0 or more, and --save_seconds above 0")
    machine = topology.parse(description)
    mesh = _mesh(run, machine)
    found = compile_stages(run, machine, quick=quick)
    step_times = [_judge(stage, machine.chip, run.dtype, utilisation) for stage in found]
    result: dict[str, Any] = {
        "model": run.model,
        "topology": machine.name,
        "dtype": run.dtype,
        "quick": quick,
        "mesh": dict(mesh.shape),
        "devices": mesh.size,
        "memory_bytes": None if machine.chip is None else machine.chip.memory,
    }
    result |= _together(found)
    worst = run.stages[result["worst_stage"]]
    result["advice"] = advice(worst, run.dtype, result) if result["fits"] is False else []
    result["estimate"] = None
    known = [step for step in step_times if step is not None]
    if len(known) == len(found):
        steps = [(stage["num_steps"], step) for stage, step in zip(found, known)]
        times = estimates.Run(steps, result["worst_stage"])
        rates = dict(preemptions_per_day=preemptions_per_day, save_seconds=save_seconds)
        result["estimate"] = estimate(run, times, mesh.size, utilisation=utilisation, **rates)
    return result


def _mesh(run: RunOutline, machine: Topology) -> AbstractMesh:
    """Return the run's mesh over a machine, after checking everything that needs no compiler.

    Raises:
      ConfigError: the mesh uses neither one device nor all, or cannot split batches or images.
    """
    sizes = meshes.resolve(machine.num_devices, **run.mesh)
    used = math.prod(sizes.values())
    if used not in (1, machine.num_devices):  # compilers abort on some parts of a machine
        shown = " x ".join(f"{axis}={size}" for axis, size in sizes.items())
        raise ConfigError(
            f"--mesh {shown} uses {used} of the {machine.num_devices} devices of {machine.name}: "
            f"make the product {machine.num_devices}, or name a topology of {used}"
        )
    mesh = meshes.abstract(**sizes)
    for stage in run.stages:
        meshes.check_batch(mesh, stage.batch_size, grad_accum_steps=stage.grad_accum_steps)
        meshes.check_height(mesh, stage.height)
    return mesh


def _together(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of the stage that needs the most memory, or that failed to compile."""
    worst = max(
        found, key=lambda stage: (not stage["compiled"], stage["total_bytes_per_device"] or 0)
    )
    result = {key: worst[key] for key in _FIGURES}
    result |= {"worst_stage": worst["stage"], "batch_size": worst["batch_shape"][0]}
    result |= {
        key: round(sum(stage[key] for stage in found), 1) for key in ("trace_s", "compile_s")
    }
    return result | {"stages": list(found)}


def _judge(
    stage: dict[str, Any], chip: Chip | None, dtype: str, utilisation: float
) -> estimates.StepTime | None:
    """Add `fits` and `step_seconds` to a stage, and return its step time, or None if unknown."""
    stage["fits"] = (
        None
        if chip is None
        else (stage["compiled"] and stage["total_bytes_per_device"] <= chip.memory)
    )
    stage["step_seconds"] = None
    if chip is None or not stage["flops_per_device"]:
        return None
    step = estimates.step_time(
        chip,
        dtype,
        flops=stage["flops_per_device"],
        accessed_bytes=stage["accessed_bytes_per_device"],
        moved_bytes=float(estimates.moved_bytes(stage["collectives"])),
        utilisation=utilisation,
    )
    stage["step_seconds"] = step.total
    return step


def estimate(
    run: RunOutline,
    times: estimates.Run,
    num_devices: int,
    *,
    utilisation: float,
    preemptions_per_day: float,
    save_seconds: float,
) -> dict[str, Any]:
    """Return the time of the whole run and the steps lost to preemptions, from each stage's step.

    The breakdown of a step's time belongs to the stage that needs the most memory; checkpoint
    intervals and losses are in mean steps.
    """
    num_steps, every = run.num_steps, run.checkpoint_every or run.num_steps
    step, mean = times.shown, times.seconds / num_steps
    days = times.seconds / estimates.SECONDS_A_DAY
    rates: Any = dict(
        num_steps=num_steps,
        step_seconds=mean,
        preemptions_per_day=preemptions_per_day,
        save_seconds=save_seconds,
    )
    interval = estimates.best_interval(save_seconds, preemptions_per_day)
    best = num_steps if math.isinf(interval) else min(num_steps, max(1, round(interval / mean)))
    return {
        "step_seconds": step.total,
        "compute_seconds": step.compute,
        "memory_seconds": step.memory,
        "communication_seconds": step.communication,
        "mean_step_seconds": mean,
        "utilisation": utilisation,
        "formula": estimates.STEP_FORMULA,
        "num_steps": num_steps,
        "days": days,
        "chip_hours": 24 * days * num_devices,
        "preemptions_per_day": preemptions_per_day,
        "save_seconds": save_seconds,
        "checkpoint_every": every,
        "lost_steps": round(estimates.lost_steps(**rates, every=every).total),
        "best_checkpoint_every": best,
        "lost_steps_at_best": round(estimates.lost_steps(**rates, every=best).total),
    }


def advice(stage: StageOutline, dtype: str, result: Mapping[str, Any]) -> list[str]:
    """Return changes to a recipe whose stage does not fit, the most promising first."""
    mesh, memory = result["mesh"], result["memory_bytes"]
    changes = []
    if result["state_bytes_per_device"] > memory / 2:
        changes.append(f"shard the state over more devices: mesh.fsdp above {mesh['fsdp']}")
    if stage.remat is False:
        changes.append("recompute activations: --config.model.remat=True")
    if dtype == "float32":
        changes.append("halve the activations: --config.dtype=bfloat16")
    rows = stage.batch_size // (mesh["replica"] * mesh["fsdp"])
    microbatches = stage.grad_accum_steps * 2
    if rows % microbatches == 0:
        changes.append(f"use more microbatches: --config.grad_accum_steps={microbatches}")
    if rows == stage.grad_accum_steps:
        context = mesh["context"] * 2
        changes.append(f"shard the height: mesh.context={context}, with less replica or fsdp")
    else:
        changes.append("use a smaller batch_size, or more devices")
    return changes
