"""Compiles a recipe's sharded training steps for devices that need not be there, and reads what they would take."""

import math
import re
import time
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from pipeline.planning import loop_cost
from pipeline.planning.collectives import collectives
from pipeline.planning.lowering import batch_shapes, fingerprint, lower
from pipeline.planning.topology import Topology
from pipeline.planning.trip_counts import turns
from pipeline.training import stages
from pipeline.training.runtime import preflight
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state.train_state import TrainState

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"(?P<size>[\d.]+)(?P<unit>[KMGT]?)"
# What the TPU's compiler says when it gives up.
_NEEDED = {
    "total_bytes_per_device": re.compile(rf"Used {_SIZE} of [\d.]+[KMGT]? hbm"),
    "temp_bytes_per_device": re.compile(rf"required for HLO temporaries \({_SIZE}\)"),
}


def compile_stages(
    settings: Mapping[str, Any], topology: Topology, devices: list[Any], *, quick: bool = False
) -> list[dict[str, Any]]:
    """Numbers of each stage's step, in order, as the recipe would run it on these devices; only shapes are made.

    Of a stage: "stage", "num_steps" and "batch_shape", and what is read of its program. Stages whose steps differ in
    nothing but the values of floating-point numbers are compiled once: "same_program_as" is then the number of the
    earlier one, whose figures they have, with no time to compile. The step is a stage's last one, and so with a
    discriminator that has begun by then.

    Bytes are a device's: `state_bytes_per_device` of its shards of the state; `argument_bytes_per_device` of state and
    batch in the device's own layout, padded; `temp_bytes_per_device` of all between; `total_bytes_per_device` of
    the program while it runs. A compiler that gives up for lack of memory (`compiled` is then false) tells one of
    them, and the rest is None. flops_per_device and accessed_bytes_per_device are XLA's count of what is computed, read
    and written, with every turn of the loops (pipeline.planning.loop_cost).
    `quick` has the compiler try less hard to save time and memory: temporary and total bytes are then upper bounds.

    Raises:
      ConfigError: the recipe, its mesh or its batch do not fit one another.
    """
    mesh = meshes.create(**settings["mesh"], devices=devices)
    parts = stages.split(settings)
    for part in parts:  # all of them before the first takes its minutes
        meshes.check_batch(
            mesh, part.settings["batch_size"], grad_accum_steps=part.settings["grad_accum_steps"]
        )
        meshes.check_height(mesh, part.settings["data"]["image_size"])
    found: list[dict[str, Any]] = []
    programs: dict[str, int] = {}  # fingerprint -> number of the first stage
    first = None
    for part in parts:
        began = time.perf_counter()
        shapes, lowered = lower(part, mesh, topology.platform)
        first = shapes if first is None else first
        preflight.check_same_state(first, shapes, f"config.stages[{part.number}]")
        key = fingerprint(lowered)
        traced = {
            "trace_s": round(time.perf_counter() - began, 1),
            "same_program_as": programs.get(key),
        }
        if key in programs:
            numbers = found[programs[key]] | {"compile_s": 0.0}
        else:
            programs[key] = part.number
            numbers = {"state_bytes_per_device": device_bytes(shapes)} | _compiled(
                part, lowered, topology, mesh, quick
            )
            numbers["parameters"] = sum(math.prod(leaf.shape) for leaf in shapes.params.values())
        found.append(numbers | traced | _about(part, mesh))
    return found


def _about(part: stages.Stage, mesh: Mesh) -> dict[str, Any]:
    batch = batch_shapes(part.settings, mesh)
    return {
        "stage": part.number,
        "num_steps": part.end - part.begin,
        "batch_shape": list(next(batch[key].shape for key in ("video", "image") if key in batch)),
    }


def _compiled(
    part: stages.Stage, lowered: jax.stages.Lowered, topology: Topology, mesh: Mesh, quick: bool
) -> dict[str, Any]:
    """What the compiler and its program tell."""
    began = time.perf_counter()
    compiled, needed = _compile(lowered, quick)
    result = {"compile_s": round(time.perf_counter() - began, 1)} | _read(compiled) | needed
    hlo = "" if compiled is None else compiled.as_text()
    times = turns(hlo)
    result["collectives"] = None if compiled is None else collectives(hlo, mesh.size, times)
    if result["flops_per_device"] and max(times.values()) > 1:
        grown = loop_cost.growth(part, topology.platform)
        result["flops_per_device"] *= grown["flops"]
        result["accessed_bytes_per_device"] *= grown["bytes accessed"]
    return result


def device_bytes(state: TrainState) -> int:
    """Bytes of the shards that one device holds of a state of shapes."""
    return sum(map(sharding.shard_bytes, jax.tree.leaves(state)))


def _compile(lowered: jax.stages.Lowered, quick: bool) -> tuple[Any, dict[str, int]]:
    """The program; or None where the device's memory is too small for it, and the bytes that it would need."""
    effort = -1.0 if quick else 0.0
    # The cache cannot read back programs of devices that are not there, and would hide how long compiling takes.
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
    compilation_cache.reset_cache()  # whether it is used is decided once, and again after this


def needed_bytes(message: str) -> dict[str, int]:
    """Key of the result -> bytes, as far as an error for lack of memory tells them."""
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
