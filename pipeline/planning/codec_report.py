"""Plan the coding of a clip or image: memory, whether it fits, and how long it would take."""

from typing import Any

from pipeline.build.outline import CodecOutline
from pipeline.core.errors import ConfigError
from pipeline.planning import estimates, topology
from pipeline.planning.child import compile_codec

_PEAKS = (
    "cache_bytes_per_device",
    "argument_bytes_per_device",
    "temp_bytes_per_device",
    "total_bytes_per_device",
    "compiled",
    "fits",
)


def plan_codec(
    outline: CodecOutline, description: str, *, utilisation: float = 0.4, quick: bool = False
) -> dict[str, Any]:
    """Return the plan of coding one clip on each device of `description` (planning.topology).

    "pieces" holds the figures of each program (`codec_compiling.compile_codec`). Memory is that of
    "worst_piece", the piece that needs the most; FLOPs, accessed bytes and seconds are sums over
    the clip, and None where a piece has none. `fits` and `estimate` are None for a CPU, of which no
    figures are published.

    Raises:
      ConfigError: the machine cannot be compiled for, or the codec does not take the clip.
    """
    if not 0 < utilisation <= 1:
        raise ConfigError(f"--utilisation {utilisation} must be above 0, and at most 1")
    machine = topology.parse(description)
    found = compile_codec(outline, machine, quick=quick)
    pieces = found["pieces"]
    chip = machine.chip
    for piece in pieces:
        known = piece["compiled"] and piece["total_bytes_per_device"] is not None
        piece["fits"] = None
        if chip is not None:
            piece["fits"] = known and piece["total_bytes_per_device"] <= chip.memory
    worst = max(
        range(len(pieces)),
        key=lambda at: (not pieces[at]["compiled"], pieces[at]["total_bytes_per_device"] or 0),
    )
    result = {
        "model": outline.model,
        "operation": "decode" if outline.decodes else "encode",
        "topology": machine.name,
        "platform": machine.platform,
        "devices": machine.num_devices,
        "dtype": outline.dtype,
        "quick": quick,
        "chunk": outline.chunk,
        "memory_bytes": None if chip is None else chip.memory,
        **found,
        "worst_piece": worst,
        **{key: pieces[worst][key] for key in _PEAKS},
        "compile_s": round(sum(piece["compile_s"] for piece in pieces), 1),
        "has_loops": any(piece["has_loops"] for piece in pieces),
    }
    for key in ("flops_per_device", "accessed_bytes_per_device"):
        known = [piece[key] for piece in pieces]
        whole = sum(piece[key] * piece["count"] for piece in pieces) if all(known) else None
        result[key] = whole
    result["advice"] = _advice(outline, result) if result["fits"] is False else []
    result["estimate"] = _estimate(result, machine, utilisation)
    return result


def _estimate(
    result: dict[str, Any], machine: topology.Topology, utilisation: float
) -> dict[str, Any] | None:
    """Return the seconds of the clip on one device, and the frames a second of the topology."""
    if machine.chip is None or result["flops_per_device"] is None:
        return None
    times = [
        (
            piece["count"],
            estimates.step_time(
                machine.chip,
                result["dtype"],
                flops=piece["flops_per_device"],
                accessed_bytes=piece["accessed_bytes_per_device"],
                moved_bytes=0.0,
                utilisation=utilisation,
            ),
        )
        for piece in result["pieces"]
    ]
    seconds = sum(count * time.total for count, time in times)
    return {
        "seconds": seconds,
        "compute_seconds": sum(count * time.compute for count, time in times),
        "memory_seconds": sum(count * time.memory for count, time in times),
        "utilisation": utilisation,
        "formula": estimates.CODEC_FORMULA,
        "frames_per_second": result["frames"] * machine.num_devices / seconds,
    }


def _advice(outline: CodecOutline, result: dict[str, Any]) -> list[str]:
    """Return changes that save memory, the most promising first."""
    changes = []
    if result["is_video"] and outline.chunk is None:
        changes.append("code the clip in chunks of time: --chunk 8")
    elif outline.chunk is not None:
        changes.append(f"take shorter chunks than {outline.chunk} frames")
    if outline.dtype == "float32":
        changes.append("halve the activations: bfloat16")
    changes.append("code smaller frames, or tiles of them (tile=... of the codec; not planned)")
    return changes
