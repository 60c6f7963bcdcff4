"""Compile a lowered program for devices that need not exist, and read its memory and its cost."""

import re
from collections.abc import Mapping
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from pipeline.backend import program_memory

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"(?P<size>[\d.]+)(?P<unit>[KMGT]?)"
# The TPU compiler's error when the device's memory is too small.
_NEEDED = {
    "total_bytes_per_device": re.compile(rf"Used {_SIZE} of [\d.]+[KMGT]? hbm"),
    "temp_bytes_per_device": re.compile(rf"required for HLO temporaries \({_SIZE}\)"),
}


def compiled_for(lowered: jax.stages.Lowered, quick: bool) -> tuple[Any, dict[str, int]]:
    """Return the program, or None and the bytes it would need if device memory is too small.

    With `quick` the compiler optimises less.
    """
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


def figures(compiled: Any) -> dict[str, Any]:
    """Return memory and cost of a program on one device; of None, each figure as None.

    FLOPs and accessed bytes are XLA's cost analysis, which counts the body of a loop once.
    """
    memory = None if compiled is None else program_memory.of(compiled)
    result: dict[str, Any] = {
        "compiled": compiled is not None,
        "total_bytes_per_device": None if memory is None else memory.total,
        "argument_bytes_per_device": None if memory is None else memory.arguments,
        "temp_bytes_per_device": None if memory is None else memory.temporary,
    }
    cost: Any = (compiled.cost_analysis() if compiled is not None else None) or {}
    cost = cost[0] if isinstance(cost, list) else cost
    result["flops_per_device"] = cost.get("flops")
    result["accessed_bytes_per_device"] = cost.get("bytes accessed")
    return result
