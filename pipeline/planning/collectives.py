"""Count the collectives of a compiled program and the bytes they move, from its HLO text."""

import math
import re
from collections.abc import Mapping

from pipeline.planning.trip_counts import COMPUTATION

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_BITS = {"pred": 8, "token": 0}  # other dtypes name their width: f32, bf16, s8, f8e4m3fn
# `%name = f32[8,128]{1,0:T(8,128)} all-gather(...)`. The start of an asynchronous pair is not
# counted, because its result includes the operands.
_OPERATION = re.compile(
    rf"= (?P<result>\(.*?\)|\S+) (?P<kind>{'|'.join(KINDS)})(?P<phase>-start|-done)?\((?P<rest>.*)"
)
_NAME = re.compile(r"%(?P<name>[\w.-]+) = ")
_SHAPE = re.compile(r"\b(?P<dtype>[a-z]+\d*\w*)\[(?P<dims>[\d,]*)\]")
# A list, [number of groups, size]<=..., or mesh axes: mesh['a'=2,'b'=4] {'b'}, {'a':(1)2}.
_GROUPS = re.compile(
    r"replica_groups=(?:\{\{(?P<first>[\d,]*)\}|\[\d+,(?P<size>\d+)\]"
    r"|mesh\[(?P<mesh>[^\]]*)\].*?\{(?P<axes>'[^}]*)\})"
)
_MESH_AXIS = re.compile(r"'(?P<name>\w+)'=(?P<size>\d+)")
_AXIS = re.compile(r"'(?P<name>\w+)'(?::\(\d+\)(?P<size>\d+))?")


def collectives(hlo: str, num_devices: int, runs: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return {count, bytes, moved_bytes} of each kind of collective in one device's program.

    `runs` is the number of times each computation runs (`trip_counts.run_counts`). `count` is the
    number of executed operations: an asynchronous pair counts once, an operation in a loop once an
    iteration. `bytes` is the size of their results. `moved_bytes` is what a device sends with ring
    algorithms over groups of n: (n-1)/n of the result for all-gather and all-to-all, 2(n-1)/n for
    all-reduce, (n-1) times the result for reduce-scatter, and the whole array for
    collective-permute.
    """
    found = {kind: {"count": 0, "bytes": 0, "moved_bytes": 0} for kind in KINDS}
    groups: dict[str, int] = {}
    times = 1
    for line in hlo.splitlines():
        header = COMPUTATION.match(line)
        if header is not None:
            times = runs.get(header["name"], 1)
        match = _OPERATION.search(line)
        if match is None:
            continue
        if match["phase"] == "-start":
            name = _NAME.search(line)
            if name is not None:
                groups[name["name"]] = _group_size(line, num_devices)
            continue
        size = _group_size(line, num_devices)
        if match["phase"] == "-done":
            size = groups.get(match["rest"].split("%")[-1].split(")")[0].split(",")[0], size)
        entry = found[match["kind"]]
        result = bytes_of(match["result"])
        entry["count"] += times
        entry["bytes"] += times * result
        entry["moved_bytes"] += times * _moved(match["kind"], result, size)
    return {kind: entry for kind, entry in found.items() if entry["count"]}


def bytes_of(shapes: str) -> int:
    """Return the size in bytes of an HLO shape, or of a tuple of shapes, without padding."""
    total = 0
    for match in _SHAPE.finditer(shapes):
        bits = _BITS.get(match["dtype"])
        if bits is None:
            digits = re.search(r"\d+", match["dtype"])
            bits = int(digits[0]) if digits else 0
        elements = math.prod(int(size) for size in match["dims"].split(",") if size)
        total += (elements * bits + 7) // 8
    return total


def _group_size(line: str, num_devices: int) -> int:
    match = _GROUPS.search(line)
    if match is None or match["first"] == "":
        return num_devices
    if match["mesh"]:
        sizes = {axis["name"]: axis["size"] for axis in _MESH_AXIS.finditer(match["mesh"])}
        return math.prod(
            int(axis["size"] or sizes[axis["name"]]) for axis in _AXIS.finditer(match["axes"])
        )
    return int(match["size"]) if match["size"] else len(match["first"].split(","))


def _moved(kind: str, result: int, size: int) -> int:
    share = (size - 1) / size
    factor = {
        "all-gather": share,
        "all-reduce": 2 * share,
        "reduce-scatter": size - 1,
        "all-to-all": share,
        "collective-permute": 1.0,
    }
    return round(result * factor[kind])
