"""Compile a recipe's sharded steps for devices that need not exist, and read their cost."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from pipeline import build
from pipeline.build.outline import RunOutline, StageOutline
from pipeline.core.types import examples_of
from pipeline.planning import loop_cost
from pipeline.planning.collectives import collectives
from pipeline.planning.lowering import batch_shapes, fingerprint, lower
from pipeline.planning.topology import Topology
from pipeline.planning.trip_counts import run_counts
from pipeline.training.runtime import preflight
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"(?P<size>[\d.]+)(?P<unit>[KMGT]?)"
# The TPU compiler's error when the device's memory is too small.
_NEEDED = {
    "total_bytes_per_device": re.compile(rf"Used {_SIZE} of [\d.]+[KMGT]? hbm"),
    "temp_bytes_per_device": re.compile(rf"required for HLO temporaries \({_SIZE}\)"),
}


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
    programs: dict[str, int] = {}  # fingerprint -> number of the first stage
    first = None
    for stage in run.stages:
        began = time.perf_counter()
        shapes, lowered = lower(stage, mesh, topology.platform)
        first = shapes if first is None else first
        preflight.check_same_state(first, shapes, f"config.stages[{stage.number}]")
        key = fingerprint(lowered)
        traced = {
            "trace_s": round(time.perf_counter() - began, 1),
            "same_program_as": programs.get(key),
        }
        if key in programs:
            numbers = found[programs[key]] | {"compile_s": 0.0}
        else:
            programs[key] = stage.number
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
    compiled, needed = _compile(lowered, quick)
    result = {"compile_s": round(time.perf_counter() - began, 1)} | _read(compiled) | needed
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


def _compile(lowered: jax.stages.Lowered, quick: bool) -> tuple[Any, dict[str, int]]:
    """Return the program, or None and the bytes it would need if device memory is too small."""
    effort = -1.0 if quick else 0.0
    # The cache cannot read back programs of absent devices, and would hide the compile time.
    changes = {
        "jax_enable_compilation_cache": False,
        "jax_exec_time_optimization_effort": effort,
        "jax_memory_fitting_effort": effort,
    }
    before = {name: getattr(jax.config, name) for name in changes}
    _configure(changes)
    try:
        return lowered.compile(), {}
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, needed_bytes(str(error))
    finally:
        _configure(before)


def _configure(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # jax decides once whether to use the cache: decide again


def needed_bytes(message: str) -> dict[str, int]:
    """Return the bytes that an out-of-memory error of the compiler names, by key of the result."""
    found = {key: pattern.search(message) for key, pattern in _NEEDED.items()}
    return {
        key: round(float(m["size"]) * _UNITS[m["unit"]])
        for key, m in found.items()
        if m is not None
    }


def _read(compiled: Any) -> dict[str, Any]:
    memory = None if compiled is None else compiled.memory_analysis()
    result: dict[str, Any] = {"compiled": compiled is not None, "total_bytes_per_device": None}
    if memory is not None:
        total = (
            memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        )
        total += memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
        result["total_bytes_per_device"] = total
    result["argument_bytes_per_device"] = getattr(memory, "argument_size_in_bytes", None)
    result["temp_bytes_per_device"] = getattr(memory, "temp_size_in_bytes", None)
    cost: Any = (compiled.cost_analysis() if compiled is not None else None) or {}
    cost = cost[0] if isinstance(cost, list) else cost
    result["flops_per_device"] = cost.get("flops")
    result["accessed_bytes_per_device"] = cost.get("bytes accessed")
    return result
