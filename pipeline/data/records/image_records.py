"""The format of packed images and clips: self-describing records in ArrayRecord shards, beside a manifest.json.

A record is a header of 20 bytes and a payload: an image file's own bytes, or raw uint8 pixels [h w c].
The manifest holds the schema, the classes, and count, bytes and sha256 of each shard.
"""

import hashlib
import json
import pathlib
import struct
from typing import Any

import numpy as np

from pipeline.core.errors import DataError
from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable

MANIFEST = "manifest.json"
FORMAT, CLIPS_FORMAT = "strata-images", "strata-clips"
SOURCES = {FORMAT: "records", CLIPS_FORMAT: "clips"}  # the kind of source that reads each
VERSION = 1
HEADER = struct.Struct(
    "<4sBBxxiII"
)  # magic, kind, channels, label, height, width; encoded: the last are 0
LABEL_OFFSET = 8
_MAGIC = b"SIR1"
_ENCODED, _RAW = 0, 1


def to_bytes(record: Record) -> bytes:
    """One record as it is stored."""
    if isinstance(record.data, bytes):
        return HEADER.pack(_MAGIC, _ENCODED, 0, record.label, 0, 0) + record.data
    height, width, channels = record.data.shape
    return HEADER.pack(_MAGIC, _RAW, channels, record.label, height, width) + record.data.tobytes()


def from_bytes(stored: bytes) -> Record:
    """The inverse of to_bytes. Raises Unreadable."""
    if len(stored) < HEADER.size or not stored.startswith(_MAGIC):
        raise Unreadable("not a record of packed images")
    _, kind, channels, label, height, width = HEADER.unpack_from(stored)
    if kind == _ENCODED:
        return Record(stored[HEADER.size :], label)
    if len(stored) != HEADER.size + height * width * channels:
        raise Unreadable(
            f"a record of {len(stored)} bytes cannot hold {height}x{width}x{channels} pixels"
        )
    return Record(
        np.frombuffer(stored, np.uint8, offset=HEADER.size).reshape(height, width, channels), label
    )


def fingerprint_of(manifest: dict[str, Any]) -> str:
    """sha256 over what a manifest says of schema, classes and shards, whose own hashes cover every byte."""
    content = [manifest[key] for key in ("schema", "classes", "num_examples", "shards")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_manifest(
    folder: pathlib.Path, format: str = FORMAT, key: str = "data.path"
) -> dict[str, Any]:
    """The manifest of a packed dataset. Raises DataError when it or the size of a shard is not as packed."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(
            f"{key}={str(folder)!r} does not exist: point it at a folder that `strata data pack` made"
        )
    if not path.exists():
        raise DataError(
            f"{folder} has no {MANIFEST}: make it with `strata data pack SRC --out {folder}`"
        )
    try:
        manifest = json.loads(path.read_text())
        found = (manifest["format"], manifest["version"])
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
        raise DataError(
            f"{folder} holds {found[0].removeprefix('strata-')}: set data.source={SOURCES[found[0]]!r}"
        )
    if found != (format, VERSION):
        raise DataError(
            f"{path} is not version {VERSION} of {format}: pack the data again with this version"
        )
    if not whole:
        raise DataError(
            f"{path} does not match its own fingerprint, so it was edited: pack the data again"
        )
    for shard in manifest["shards"]:
        file = folder / shard["file"]
        size = file.stat().st_size if file.exists() else None
        if size != shard["bytes"]:
            state = (
                "is missing"
                if size is None
                else f"has {size} bytes where {shard['bytes']} were written"
            )
            raise DataError(f"{file} {state}: copy or pack the data again")
    return manifest
