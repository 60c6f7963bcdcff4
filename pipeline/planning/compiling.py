"""Compile a recipe's sharded steps for devices that need not exist, and read their cost."""

import math
import time
from typing import Any

import jax
from jax.sharding import Mesh

from pipeline import build
from pipeline.build.outline import RunOutline, StageOutline
from pipeline.core.types import examples_of
from pipeline.planning import loop_cost, programs
from pipeline.planning.collectives import collectives
from pipeline.planning.lowering import batch_shapes, fingerprint, lower
from pipeline.planning.topology import Topology
from pipeline.planning.trip_counts import run_counts
from pipeline.training.runtime import preflight
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState


def compile_stages(
    run: RunOutline, topology: Topology, devices: list[Any], *, quick: bool = False
) -> list[dict[str, Any]]:
    """Return the figures of each stage's step, in order, as the recipe would run on these devices.

    Only shapes are created. Each entry holds "stage", "num_steps", "batch_shape" and the figures of
    the compiled program. Stages whose steps differ only in floating-point constants are compiled
    once: "same_program_as" is then the index of the earlier stage, whose figures they share, with
    no compile time. The compiled step is the last of a stage, so a discriminator has started by
    then.

    Bytes are per device: `state_bytes_per_device` of the shards of the state,
    `argument_bytes_per_device` of state and batch in the device's padded layout,
    `temp_bytes_per_device` of temporaries, `total_bytes_per_device` of the running program. If the
    compiler runs out of device memory, `compiled` is false, its error gives one of these figures,
    and the others are None. `flops_per_device` and `accessed_bytes_per_device` are XLA's cost
    analysis, with every iteration of the loops (pipeline.planning.loop_cost). `quick` lowers the
    compiler's effort to save time and memory: temporary and total bytes are then upper bounds.

    Raises:
      ConfigError: the mesh cannot be laid out on the devices, or a stage trains another state.
    """
    mesh = meshes.create(**run.mesh, devices=devices)
    found: list[dict[str, Any]] = []
    known: dict[str, int] = {}  # fingerprint -> number of the first stage
    first = None
    for stage in run.stages:
        began = time.perf_counter()
        shapes, lowered = lower(stage, mesh, topology.platform)
        first = shapes if first is None else first
        preflight.check_same_state(first, shapes, f"config.stages[{stage.number}]")
        key = fingerprint(lowered)
        traced = {
            "trace_s": round(time.perf_counter() - began, 1),
            "same_program_as": known.get(key),
        }
        if key in known:
            numbers = found[known[key]] | {"compile_s": 0.0}
        else:
            known[key] = stage.number
            numbers = {"state_bytes_per_device": device_bytes(shapes)} | _compiled(
                stage, lowered, topology, mesh, quick
            )
            numbers |= frozen_figures(stage, mesh, shapes)
            numbers["parameters"] = sum(math.prod(leaf.shape) for leaf in shapes.params.values())
        found.append(numbers | traced | _about(stage, mesh))
    return found


def _about(stage: StageOutline, mesh: Mesh) -> dict[str, Any]:
    batch = batch_shapes(stage, mesh)
    return {
        "stage": stage.number,
        "num_steps": stage.num_steps,
        "batch_shape": list(examples_of(batch).shape),
    }


def _compiled(
    stage: StageOutline, lowered: jax.stages.Lowered, topology: Topology, mesh: Mesh, quick: bool
) -> dict[str, Any]:
    """Return the figures of the compiled program, or of the compiler's out-of-memory error."""
    began = time.perf_counter()
    compiled, needed = programs.compiled_for(lowered, quick)
    result = (
        {"compile_s": round(time.perf_counter() - began, 1)} | programs.figures(compiled) | needed
    )
    hlo = "" if compiled is None else compiled.as_text()
    runs = run_counts(hlo)
    result["collectives"] = None if compiled is None else collectives(hlo, mesh.size, runs)
    if result["flops_per_device"] and max(runs.values()) > 1:
        growth = loop_cost.growth(stage, topology.platform)
        result["flops_per_device"] *= growth["flops"]
        result["accessed_bytes_per_device"] *= growth["bytes accessed"]
    return result


def frozen_figures(stage: StageOutline, mesh: Mesh, shapes: TrainState) -> dict[str, int]:
    """Return the number of frozen parameters, and the bytes of state that a device is spared."""
    names = shapes.params.keys() - shapes.ema.keys()
    if not names:
        return {"frozen_parameters": 0, "saved_state_bytes_per_device": 0}
    whole = build.abstract_state({**stage.config, "trainable": ""}, mesh)[1]
    return {
        "frozen_parameters": sum(math.prod(shapes.params[name].shape) for name in names),
        "saved_state_bytes_per_device": device_bytes(whole) - device_bytes(shapes),
    }


def device_bytes(state: TrainState) -> int:
    """Return the bytes of the shards of an abstract state that one device holds."""
    return sum(map(sharding.shard_bytes, jax.tree.leaves(state)))
