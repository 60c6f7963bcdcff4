"""Writes ArrayRecord shards and their manifest, completely or not at all."""

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
from pipeline.data.records import manifest

# One record a group, so that reading one decodes no neighbours; file bytes do not compress further.
_OPTIONS = "group_size:1,uncompressed"


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[pathlib.Path]:
    """Yield a folder to fill, which is renamed to `out` at the end, or removed on an error.

    Raises:
      ConfigError: `out` exists.
      DataError: writing fails.
    """
    target = pathlib.Path(out)
    if target.exists():
        raise ConfigError(f"{target} exists: choose another --out, or remove it first")
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        with _failures_as_data_errors(target):
            partial.mkdir(parents=True)
            yield partial
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class ShardWriter:
    """A writer of records to files of about `shard_bytes`, whose names begin with `prefix`."""

    def __init__(self, folder: pathlib.Path, prefix: str, shard_bytes: int):
        self._folder, self._prefix, self._shard_bytes = folder, prefix, shard_bytes
        self._shard: _Shard | None = None
        self._done: list[dict[str, Any]] = []

    def write(self, stored: bytes) -> None:
        """Write one record."""
        if self._shard is None or self._shard.bytes >= self._shard_bytes:
            self._close_shard()
            self._shard = _Shard(self._folder / f"{self._prefix}-{len(self._done):05d}.arrayrecord")
        self._shard.write(stored)

    def finish(
        self, format: str, schema: dict[str, Any], classes: tuple[str, ...], unreadable: list[str]
    ) -> dict[str, Any]:
        """Write and return the manifest. At least one record must have been written."""
        self._close_shard()
        content = {
            "format": format,
            "version": manifest.VERSION,
            "schema": schema,
            "num_examples": sum(entry["num_examples"] for entry in self._done),
            "classes": list(classes),
            "shards": self._done,
            "unreadable": unreadable,
        }
        content |= {"fingerprint": manifest.fingerprint_of(content)}
        (self._folder / manifest.MANIFEST).write_text(json.dumps(content, indent=1) + "\n")
        return content

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._done.append(self._shard.close())
            self._shard = None


class _Shard:
    """One ArrayRecord file that is being written, and the hash of its records."""

    def __init__(self, path: pathlib.Path):
        self.path, self.bytes, self.count = path, 0, 0
        self._writer, self._digest = ArrayRecordWriter(str(path), _OPTIONS), hashlib.sha256()

    def write(self, stored: bytes) -> None:
        self._writer.write(stored)
        self._digest.update(stored)
        self.bytes, self.count = self.bytes + len(stored), self.count + 1

    def close(self) -> dict[str, Any]:
        """Close the file, and return its entry in the manifest."""
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
def _failures_as_data_errors(target: pathlib.Path) -> Iterator[None]:
    """Turn failed writes into a DataError; ArrayRecord reports one as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        parent = next(folder for folder in target.absolute().parents if folder.exists())
        free = shutil.disk_usage(parent).free >> 20
        raise DataError(
            f"packing into {target} failed ({free} MiB free there), nothing is left: {error}"
        ) from error
