"""Damage of files: what storage, transfers and editors do to any of them."""

import json
import pathlib
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy
from hostile_inputs.attempts import command, expect_refusal

from pipeline.core.errors import CheckpointError

DAMAGED = CheckpointError.exit_code
Change = Callable[[bytes], bytes]
BROKEN: dict[str, Change] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "start": lambda data: data[:5],
    "zeros": lambda data: bytes(len(data)),
    "html": lambda data: b"<!doctype html><p>404</p>",
    "shifted": lambda data: b"\xef\xbb\xbf\xff" + data,
}


def damage(file: pathlib.Path, change: Change) -> None:
    """Change a file's content."""
    file.write_bytes(change(file.read_bytes()))


def changed_json(**changes: Any) -> Change:
    """Return a change of keys of a JSON object; None removes a key."""

    def change(data: bytes) -> bytes:
        content = json.loads(data) | changes
        return json.dumps(
            {key: value for key, value in content.items() if value is not None}
        ).encode()

    return change


def changed_tensors(change: Callable[[dict[str, np.ndarray]], Any]) -> Change:
    """Return a change of a safetensors file's tensors."""

    def changed(data: bytes) -> bytes:
        tensors = safetensors.numpy.load(data)
        change(tensors)
        return safetensors.numpy.save(tensors)

    return changed


def with_header(length: int) -> Change:
    """Return a change of the length that a safetensors file gives its header."""
    return lambda data: struct.pack("<Q", length) + data[8:]


def refused(arguments: tuple[Any, ...], code: int, *words: str) -> str:
    """Check that a command is refused with an exit code and words."""
    return expect_refusal(command(*arguments), code, *words)
