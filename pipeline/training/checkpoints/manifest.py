"""The manifest.json of a checkpoint, written last: its content, and checksums to verify it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import CheckpointError, DamagedCheckpoint
from pipeline.storage.paths import Path, contents, is_remote, sizes
from pipeline.storage.small_files import parsed

NAME = "manifest.json"
# Files up to this size are hashed: metadata of libraries, in which any wrong bit may matter.
_SMALL = 1 << 16


def write(
    path: Path,
    *,
    step: int,
    metadata: Mapping[str, Any],
    metrics: Mapping[str, float],
    arrays: Mapping[str, Mapping[str, Any]],
    folder: str = "",
) -> None:
    """Complete the checkpoint in `path`.

    Args:
      arrays: {name: {dtype, shape, checksum}}.
      folder: the folder in `path` that has the arrays, if they are not in `path` itself.

    Raises:
      CheckpointError: in a bucket, another run has completed this step meanwhile.
    """
    prefix = f"{folder}/" if folder else ""
    there = {f"{prefix}{name}": size for name, size in sizes(path / folder).items() if name != NAME}
    digests = _digests(path, there)
    files = {
        name: {"size": size} | ({"sha256": digests[name]} if name in digests else {})
        for name, size in there.items()
    }
    content: dict[str, Any] = dict(
        step=step, metadata=metadata, metrics=metrics, folder=folder, arrays=arrays, files=files
    )
    content["sha256"] = _digest(content)
    if is_remote(path):  # where a file always appears whole
        from pipeline.storage import buckets  # not needed for local checkpoints

        if not buckets.create(path / NAME, json.dumps(content).encode()):
            raise CheckpointError(f"{path / NAME} was written by another run meanwhile")
        return
    partial = path / (NAME + ".partial")
    partial.write_text(json.dumps(content))
    partial.rename(path / NAME)


def read(path: Path) -> dict[str, Any]:
    """Return what was written.

    Raises:
      DamagedCheckpoint: the manifest is missing, unreadable or changed.
    """
    try:
        content = parsed((path / NAME).read_bytes())
        claimed = content.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {NAME} cannot be read") from None
    if claimed != _digest(content):
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {NAME} is not as it was written")
    return content


def check_files(path: Path, content: Mapping[str, Any]) -> None:
    """Raise DamagedCheckpoint if a file is missing, or its size or (if small) content differs."""
    there = sizes(path)
    known = {name: size for name, size in there.items() if name in content["files"]}
    digests = _digests(path, known)
    for name, said in content["files"].items():
        if name not in there:
            raise DamagedCheckpoint(f"checkpoint {path} is damaged: {name} is missing")
        if there[name] != said["size"]:
            raise DamagedCheckpoint(
                f"checkpoint {path} is damaged: {name} has {there[name]} bytes, "
                f"and had {said['size']}"
            )
        if digests.get(name) != said.get("sha256"):
            raise DamagedCheckpoint(
                f"checkpoint {path} is damaged: {name} is not as it was written"
            )


def _digests(path: Path, there: Mapping[str, int]) -> dict[str, str]:
    small = [name for name, size in there.items() if size <= _SMALL]
    return {
        name: hashlib.sha256(content).hexdigest() for name, content in contents(path, small).items()
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
