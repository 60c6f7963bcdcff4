"""The manifest.json of a checkpoint, written last: its content, and checksums to verify it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from etils import epath

from pipeline.core.errors import DamagedCheckpoint

NAME = "manifest.json"
# Files up to this size are hashed: metadata of libraries, in which any wrong bit may matter.
_SMALL = 1 << 16


def write(
    path: epath.Path,
    *,
    step: int,
    metadata: Mapping[str, Any],
    metrics: Mapping[str, float],
    arrays: Mapping[str, Mapping[str, Any]],
) -> None:
    """Complete the checkpoint in `path`; `arrays` is {name: {dtype, shape, checksum}}."""
    files = {name: _describe(file) for name, file in _files(path) if name != NAME}
    content: dict[str, Any] = dict(
        step=step, metadata=metadata, metrics=metrics, arrays=arrays, files=files
    )
    content["sha256"] = _digest(content)
    partial = path / (NAME + ".partial")
    partial.write_text(json.dumps(content))
    partial.rename(path / NAME)


def read(path: epath.Path) -> dict[str, Any]:
    """Return what was written.

    Raises:
      DamagedCheckpoint: the manifest is missing, unreadable or changed.
    """
    try:
        content = json.loads((path / NAME).read_text())
        claimed = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {NAME} cannot be read") from None
    if claimed != _digest(content):
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {NAME} is not as it was written")
    return content


def check_files(path: epath.Path, content: Mapping[str, Any]) -> None:
    """Raise DamagedCheckpoint if a file is missing, or its size or (if small) content differs."""
    there = dict(_files(path))
    for name, said in content["files"].items():
        if name not in there:
            raise DamagedCheckpoint(f"checkpoint {path} is damaged: {name} is missing")
        found = _describe(there[name])
        if found["size"] != said["size"]:
            raise DamagedCheckpoint(
                f"checkpoint {path} is damaged: {name} has {found['size']} bytes, "
                f"and had {said['size']}"
            )
        if found != said:
            raise DamagedCheckpoint(
                f"checkpoint {path} is damaged: {name} is not as it was written"
            )


def _describe(file: epath.Path) -> dict[str, Any]:
    size = file.stat().length
    return {"size": size} | (
        {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()} if size <= _SMALL else {}
    )


def _files(folder: epath.Path, prefix: str = "") -> Iterator[tuple[str, epath.Path]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
