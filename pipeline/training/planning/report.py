"""A plan of a run: what its step takes of each device, whether it fits, and how long the whole would take."""

import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pipeline import build
from pipeline.errors import ConfigError
from pipeline.training.planning import estimates, topology
from pipeline.training.planning.compiling import compile_step


def plan(
    settings: Mapping[str, Any],
    description: str,
    *,
    utilisation: float = 0.4,
    preemptions_per_day: float = 1.0,
    save_seconds: float = 5.0,
    quick: bool = False,
) -> dict[str, Any]:
    """The plan of a complete recipe on the machine that `description` names (pipeline.training.planning.topology).

    See `compile_step` and `estimate` for its numbers. `fits` is None for a CPU, whose memory is not known here.

    Raises:
      ConfigError: the machine cannot be compiled for, or the recipe does not suit it.
    """
    if not 0 < utilisation <= 1:
        raise ConfigError(f"--utilisation {utilisation} must be above 0, and at most 1")
    if preemptions_per_day < 0 or save_seconds <= 0:
        raise ConfigError("--preemptions_per_day must be 0 or more, and --save_seconds above 0")
    machine = topology.parse(description)
    result: dict[str, Any] = {
        "model": settings["model"]["name"],
        "topology": machine.name,
        "dtype": settings["dtype"],
        "batch_size": settings["batch_size"],
        "quick": quick,
    }
    result |= compile_step(settings, machine, topology.devices(machine), quick=quick)
    chip = machine.chip
    result["memory_bytes"] = None if chip is None else chip.memory
    result["fits"] = None if chip is None else (result["compiled"] and result["total_bytes_per_device"] <= chip.memory)
    result["advice"] = advice(settings, result) if result["fits"] is False else []
    result["estimate"] = None
    if chip is not None and result["flops_per_device"]:
        step = estimates.step_time(
            chip,
            settings["dtype"],
            flops=result["flops_per_device"],
            accessed_bytes=result["accessed_bytes_per_device"],
            moved_bytes=float(estimates.moved_bytes(result["collectives"])),
            utilisation=utilisation,
        )
        rates = dict(preemptions_per_day=preemptions_per_day, save_seconds=save_seconds)
        result["estimate"] = estimate(settings, step, result["devices"], utilisation=utilisation, **rates)
    return result


def estimate(
    settings: Mapping[str, Any],
    step: estimates.StepTime,
    num_devices: int,
    *,
    utilisation: float,
    preemptions_per_day: float,
    save_seconds: float,
) -> dict[str, Any]:
    """Time of the whole run, and the steps that preemptions cost it, from the time of a step."""
    num_steps, every = settings["num_steps"], settings["checkpoint"]["every"] or settings["num_steps"]
    days = num_steps * step.total / estimates.SECONDS_A_DAY
    run: dict[str, Any] = dict(
        num_steps=num_steps,
        step_seconds=step.total,
        preemptions_per_day=preemptions_per_day,
        save_seconds=save_seconds,
    )
    interval = estimates.best_interval(save_seconds, preemptions_per_day)
    best = num_steps if math.isinf(interval) else min(num_steps, max(1, round(interval / step.total)))
    return {
        "step_seconds": step.total,
        "compute_seconds": step.compute,
        "memory_seconds": step.memory,
        "communication_seconds": step.communication,
        "utilisation": utilisation,
        "formula": estimates.STEP_FORMULA,
        "num_steps": num_steps,
        "days": days,
        "chip_hours": 24 * days * num_devices,
        "preemptions_per_day": preemptions_per_day,
        "save_seconds": save_seconds,
        "checkpoint_every": every,
        "lost_steps": round(estimates.lost_steps(**run, every=every).total),
        "best_checkpoint_every": best,
        "lost_steps_at_best": round(estimates.lost_steps(**run, every=best).total),
    }


def advice(settings: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """What to change of a recipe that does not fit, most promising first."""
    mesh, memory = result["mesh"], result["memory_bytes"]
    changes = []
    if result["state_bytes_per_device"] > memory / 2:
        changes.append(f"split the state further: mesh.fsdp above {mesh['fsdp']}")
    arguments = build.defaults(ConfigDict(settings), "model") | settings["model"]
    if arguments.get("remat") is False:
        changes.append("recompute activations: --config.model.remat=True")
    if settings["dtype"] == "float32":
        changes.append("halve the activations: --config.dtype=bfloat16")
    rows = settings["batch_size"] // (mesh["replica"] * mesh["fsdp"])
    parts = settings["accumulate"] * 2
    if rows % parts == 0:
        changes.append(f"differentiate the batch in parts: --config.accumulate={parts}")
    if rows == settings["accumulate"]:
        changes.append(f"split images in height: mesh.context={mesh['context'] * 2}, with fewer replica or fsdp")
    else:
        changes.append("a smaller batch_size, or more devices")
    return changes
