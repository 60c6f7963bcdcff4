"""Writes ArrayRecord shards and their manifest, whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.records import image_records

# One record a group, so that reading one decodes no neighbours; the bytes of files do not compress further.
_OPTIONS = "group_size:1,uncompressed"


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[pathlib.Path]:
    """A folder to fill, which becomes `out` on leaving the block and is removed where that fails.

    Raises ConfigError when `out` exists, and DataError when writing fails.
    """
    target = pathlib.Path(out)
    if target.exists():
        raise ConfigError(f"{target} exists: choose another --out, or remove it first")
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        with _failure_told(target):
            partial.mkdir(parents=True)
            yield partial
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class ShardWriter:
    """Records, in files of about `shard_bytes` that are named after `prefix`."""

    def __init__(self, folder: pathlib.Path, prefix: str, shard_bytes: int):
        self._folder, self._prefix, self._shard_bytes = folder, prefix, shard_bytes
        self._shard: _Shard | None = None
        self._done: list[dict[str, Any]] = []

    def write(self, stored: bytes) -> None:
        if self._shard is None or self._shard.bytes >= self._shard_bytes:
            self._close_shard()
            self._shard = _Shard(self._folder / f"{self._prefix}-{len(self._done):05d}.arrayrecord")
        self._shard.write(stored)

    def finish(
        self, format: str, schema: dict[str, Any], classes: tuple[str, ...], unreadable: list[str]
    ) -> dict[str, Any]:
        """Writes the manifest, and returns it. There must be a record."""
        self._close_shard()
        manifest = {
            "format": format,
            "version": image_records.VERSION,
            "schema": schema,
            "num_examples": sum(entry["num_examples"] for entry in self._done),
            "classes": list(classes),
            "shards": self._done,
            "unreadable": unreadable,
        }
        manifest |= {"fingerprint": image_records.fingerprint_of(manifest)}
        (self._folder / image_records.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        return manifest

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._done.append(self._shard.close())
            self._shard = None


class _Shard:
    """One ArrayRecord file being written, with the hash of its records."""

    def __init__(self, path: pathlib.Path):
        self.path, self.bytes, self.count = path, 0, 0
        self._writer, self._digest = ArrayRecordWriter(str(path), _OPTIONS), hashlib.sha256()

    def write(self, stored: bytes) -> None:
        self._writer.write(stored)
        self._digest.update(stored)
        self.bytes, self.count = self.bytes + len(stored), self.count + 1

    def close(self) -> dict[str, Any]:
        """The shard's entry in the manifest."""
        self._writer.close()
        reader = ArrayRecordReader(str(self.path))
        written = reader.num_records()
        reader.close()
        if written != self.count:  # the writer can lose a failed write at close
            raise OSError(errno.ENOSPC, f"{self.path.name} holds {written} of {self.count} records")
        size = self.path.stat().st_size
        return {
            "file": self.path.name,
            "num_examples": self.count,
            "bytes": size,
            "sha256": self._digest.hexdigest(),
        }


@contextlib.contextmanager
def _failure_told(target: pathlib.Path) -> Iterator[None]:
    """ArrayRecord reports a failed write as a RuntimeError of its own; both become one clear line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        parent = next(folder for folder in target.absolute().parents if folder.exists())
        free = shutil.disk_usage(parent).free >> 20
        raise DataError(
            f"packing into {target} failed ({free} MiB free there), nothing is left: {error}"
        ) from error
