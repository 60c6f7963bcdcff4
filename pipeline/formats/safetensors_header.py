"""The header of a safetensors file, validated before anything of the file is used.

A file is 8 bytes with the length of the header, the header (a JSON object from names to dtype,
shape and place) and the data. The places must cover the data exactly, one after another.
"""

import json
import math
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp

MOST_BYTES = 16 * 2**20  # 2,500 tensors take 400 KB
_MOST_SIDE, _MOST_RANK = 2**48, 16
# The name of a type in a file -> its name in NumPy and ml_dtypes.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


class Tensor(NamedTuple):
    """The NumPy name of a tensor's type, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read(file: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a file by name, in the order of their data.

    Raises:
      ValueError: the header is damaged, or does not fit the file.
      OSError: the file cannot be read.
    """
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or not 2 <= length <= min(MOST_BYTES, size - 8):
            raise ValueError(f"its header would have {length:,} of {size:,} bytes")
        text = opened.read(length)
    try:
        content = json.loads(text.decode(), object_pairs_hook=_without_twins)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError("its header is no object")
    content.pop("__metadata__", None)
    places = sorted((_place(name, entry), name, entry) for name, entry in content.items())
    _check_cover([(place, name) for place, name, _ in places], size - 8 - length)
    return {
        name: Tensor(DTYPES[entry["dtype"]], tuple(entry["shape"])) for _, name, entry in places
    }


def _without_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"its header has {name[:80]!r} twice")
        found[name] = value
    return found


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Return the first byte of a tensor and the one after its last, counted from the data's."""
    name = repr(name[:80])
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its header describes {name} by other keys than dtype, shape and place")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} has the unknown dtype {str(entry['dtype'])[:20]!r}")
    shape, place = entry["shape"], entry["data_offsets"]
    if not _are_counts(shape) or len(shape) > _MOST_RANK or not _are_counts(place):
        raise ValueError(f"{name} has no valid shape or place")
    itemsize = jnp.dtype(DTYPES[entry["dtype"]]).itemsize
    if len(place) != 2 or place[1] - place[0] != math.prod(shape) * itemsize:
        raise ValueError(f"{name} has another place than its shape and dtype need")
    return place[0], place[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= _MOST_SIDE for value in values
    )


def _check_cover(places: list[tuple[tuple[int, int], str]], size: int) -> None:
    """Check that places follow each other without overlap or gap, from 0 to the end."""
    end = 0
    for (first, last), name in places:
        if first != end:
            what = "overlaps another tensor" if first < end else "follows a gap"
            raise ValueError(f"{name[:80]!r} {what} in the data")
        end = last
    if end != size:
        raise ValueError(f"its tensors have {end:,} bytes, and its data {size:,}")
