"""Time a recipe's training step on random images, without a dataset or code that reads one."""

import math
import resource
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from pipeline import build
from pipeline.backend.jit import compiling
from pipeline.core import progress
from pipeline.training.runtime import malloc
from pipeline.training.state import sharding

_WARMUP = 2


def measure(config: ConfigDict, *, steps: int = 20) -> dict[str, Any]:
    """Compile and run the training step of a recipe.

    `compile_s` never uses the compilation cache. `flops_per_step` is XLA's count for the program of
    one device. `peak_bytes` is the peak that a device reports or, if it reports none, the peak
    resident memory of this process, which includes compilation. `planned_bytes` is XLA's plan for
    arguments, results and temporaries together.
    """
    settings = build.complete(config)
    mesh = build.mesh(settings)
    modeldef, shapes = build.abstract_state(settings, mesh)
    rows = sharding.batch_sharding(mesh)
    num_rows = len(sharding.local_rows(rows, settings["batch_size"]))
    batch = sharding.place(_batch(settings, num_rows), rows)
    jax.config.update("jax_enable_compilation_cache", False)
    began = time.perf_counter()
    function = build.step(settings, modeldef, mesh)
    frozen = sharding.replicate(mesh, function.frozen)
    # With a discriminator, time the program of the last step, where it is active.
    program = function.program(function.variant(settings["num_steps"]))
    with compiling("the training step"):
        lowered = sharding.lower_step(program, shapes, batch, frozen)
        traced = time.perf_counter()
        step = lowered.compile()
        compiled = time.perf_counter()
    malloc.trim()  # as `strata train` does

    seconds, loss = _run(step, build.initial_state(settings, shapes), batch, frozen, steps)
    median = statistics.median(seconds)
    return {
        "ms_per_step": round(1000 * median, 3),
        "ms_per_step_all": [round(1000 * each, 3) for each in seconds],
        "examples_per_s": round(settings["batch_size"] / median, 3),
        "compile_s": round(compiled - traced, 3),
        "trace_s": round(traced - began, 3),
        "flops_per_step": _flops(step),
        "peak_bytes": _peak_bytes(mesh.devices.flat[0]),
        "planned_bytes": _planned_bytes(step),
        "loss": loss,
        "parameters": sum(math.prod(shape.shape) for shape in shapes.params.values()),
        "model": settings["model"]["name"],
        "batch_size": settings["batch_size"],
        "dtype": settings["dtype"],
        "device": mesh.devices.flat[0].device_kind,
        "devices": mesh.size,
        "jax": jax.__version__,
    }


def _run(step: Any, state: Any, batch: Any, frozen: Any, steps: int) -> tuple[list[float], float]:
    """Return the seconds of each step after the warm-up, and the last loss."""
    seconds = []
    for _ in progress.track(range(_WARMUP + steps), "timing", _WARMUP + steps, "steps"):
        start = time.perf_counter()
        state, metrics = step(state, batch, frozen)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - start)
    return seconds[_WARMUP:], float(metrics["loss"])


def _batch(settings: dict[str, Any], rows: int) -> dict[str, np.ndarray]:
    """Return this process's rows of a random batch with the shapes of the recipe's data."""
    from pipeline.build.outline import batch_of

    random = np.random.default_rng(settings["seed"])
    found = {"index": np.arange(rows, dtype=np.int32), "mask": np.ones(rows, np.float32)}
    found["label"] = np.full(rows, -1, np.int32)
    for name, ((_, *example), dtype) in batch_of(settings).items():
        if name not in found:
            values = random.integers(0, 256, (rows, *example))
            found[name] = values.astype(dtype)
    return found


def _flops(step: Any) -> float | None:
    cost: Any = step.cost_analysis()
    cost = cost[0] if isinstance(cost, list) and cost else cost
    return cost.get("flops") if cost else None


def _planned_bytes(step: Any) -> int | None:
    plan = step.memory_analysis()
    if plan is None:
        return None
    used = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return used - plan.alias_size_in_bytes


def _peak_bytes(device: jax.Device) -> int:
    stats = device.memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
