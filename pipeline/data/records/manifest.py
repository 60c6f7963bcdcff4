"""The manifest of a packed dataset: schema, classes, and count, bytes and sha256 of each shard."""

import hashlib
import json
from typing import Any

from pipeline.core.errors import DataError
from pipeline.storage.paths import Path, sizes
from pipeline.storage.small_files import parsed

MANIFEST = "manifest.json"
IMAGES, CLIPS = "strata-images", "strata-clips"  # formats
SOURCES = {IMAGES: "records", CLIPS: "clips"}  # data.source that reads each format
VERSION = 1


def fingerprint_of(manifest: dict[str, Any]) -> str:
    """Return the sha256 of schema, classes and shards, whose hashes cover every byte."""
    content = [manifest[key] for key in ("schema", "classes", "num_examples", "shards")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(folder: Path, format: str = IMAGES, key: str = "data.path") -> dict[str, Any]:
    """Return the manifest of a packed dataset, local or in a bucket.

    Raises:
      DataError: the folder, the manifest or the size of a shard is not as it was packed.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(
            f"{key}={str(folder)!r} does not exist: "
            "point it at a folder that `strata data pack` made"
        )
    if not path.exists():
        raise DataError(
            f"{folder} has no {MANIFEST}: make it with `strata data pack SRC --out {folder}`"
        )
    try:
        manifest = parsed(path.read_bytes())
        found = (str(manifest["format"]), manifest["version"])
        counts = [shard["num_examples"] for shard in manifest["shards"]]
        whole = (
            sum(counts) == manifest["num_examples"] > 0
            and fingerprint_of(manifest) == manifest["fingerprint"]
        )
    except (ValueError, KeyError, TypeError) as error:
        what = format.removeprefix("strata-")
        raise DataError(
            f"{path} is not a manifest of packed {what} ({error!r}): pack the data again"
        ) from error
    if found[0] in SOURCES and found[0] != format:
        what = found[0].removeprefix("strata-")
        raise DataError(f"{folder} holds {what}: set data.source={SOURCES[found[0]]!r}")
    if found != (format, VERSION):
        raise DataError(
            f"{path} is not version {VERSION} of {format}: pack the data again with this version"
        )
    if not whole:
        raise DataError(
            f"{path} does not match its own fingerprint, so it was edited: pack the data again"
        )
    if not _is_described(manifest):
        raise DataError(f"{path} describes no shards as they are packed: pack the data again")
    found = sizes(folder)
    for shard in manifest["shards"]:
        _check_size(folder / shard["file"], found.get(shard["file"]), shard["bytes"])
    return manifest


def _is_described(manifest: dict[str, Any]) -> bool:
    """Return whether schema, classes and shards have the shape in which they are written."""
    schema = manifest["schema"]
    return (
        isinstance(schema, dict)
        and isinstance(schema.get("shape", 0), list | None)
        and isinstance(schema.get("sizes", ""), str)
        and isinstance(manifest["classes"], list)
        and all(map(_is_shard, manifest["shards"]))
    )


def _is_shard(shard: dict[str, Any]) -> bool:
    file = shard.get("file")
    return (
        isinstance(file, str)
        and file != ""
        and "/" not in file
        and isinstance(shard.get("sha256"), str)
        and type(shard.get("bytes")) is int
        and type(shard["num_examples"]) is int
    )


def _check_size(file: Path, size: int | None, expected: int) -> None:
    if size != expected:
        state = "is missing" if size is None else f"has {size} bytes where {expected} were written"
        raise DataError(f"{file} {state}: copy or pack the data again")
