"""Writes ArrayRecord shards and their manifest, completely or not at all."""

import contextlib
import errno
import hashlib
import json
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from pipeline.core.errors import ConfigError, DataError, StrataError
from pipeline.data.records import clip_records, manifest
from pipeline.storage import ownership, transfer
from pipeline.storage.owner_files import OwnerFile
from pipeline.storage.paths import Path, as_path, is_remote, sizes

# One record a group, so that reading one decodes no neighbours; file bytes do not compress further.
_OPTIONS = "group_size:1,uncompressed"


class NewFolder:
    """A local folder to fill with a packed dataset, and the bucket where its files go, if any."""

    def __init__(self, local: pathlib.Path, keep: Callable[[pathlib.Path], None]):
        self.local, self.keep = local, keep


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[NewFolder]:
    """Yield a folder to fill, which becomes `out` at the end, or is removed on an error.

    For a bucket, `keep` uploads a finished file and deletes it here, so that the local disk needs
    room for one shard only. The manifest is uploaded last: without it the folder is no dataset.
    What a killed process has left in a bucket is deleted by the next one.

    Raises:
      ConfigError: `out` exists, or another process packs into it.
      DataError: writing fails.
    """
    if is_remote(out):
        with _in_bucket(as_path(out, name="--out")) as folder:
            yield folder
        return
    target = pathlib.Path(out)
    if target.exists():
        raise ConfigError(f"{target} exists: choose another --out, or remove it first")
    partial = target.parent / f".{target.name}.partial"
    with _failures_as_data_errors(out, target):
        partial.mkdir(parents=True, exist_ok=True)
    owner = OwnerFile(partial, name="--out", shown=target)
    try:
        with _failures_as_data_errors(out, target):
            if target.exists():  # packed by another process meanwhile
                raise ConfigError(f"{target} exists: choose another --out, or remove it first")
            _remove_all(partial)
            yield NewFolder(partial, lambda file: None)
            owner.check()
            partial.rename(target)
            owner.moved(target)
    except BaseException:
        _remove_all(partial)
        raise
    finally:
        owner.release()
        with contextlib.suppress(OSError):  # another process fills it
            partial.rmdir()


def _remove_all(partial: pathlib.Path) -> None:
    """Delete what this or a killed process has written, and keep the name of the owner."""
    for path in list(partial.iterdir()) if partial.is_dir() else []:
        if path.is_dir() and path.name != ownership.LOCAL_FOLDER:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != ownership.LOCAL_FOLDER:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_bucket(target: Path) -> Iterator[NewFolder]:
    with tempfile.TemporaryDirectory(prefix="strata-pack-") as local:
        folder = pathlib.Path(local)
        with (
            _failures_as_data_errors(str(target), folder),
            ownership.owned(target) as owner,
        ):
            _remove_leftovers(target)

            def keep(file: pathlib.Path) -> None:
                owner.check()
                transfer.upload(file, target / file.name)
                file.unlink()

            try:
                yield NewFolder(folder, keep)
                last = folder / manifest.MANIFEST
                for file in sorted(folder.iterdir(), key=lambda file: (file == last, file)):
                    keep(file)
            except BaseException:
                with contextlib.suppress(OSError, StrataError):
                    owner.check()
                    target.rmtree(missing_ok=True)
                raise


def _remove_leftovers(target: Path) -> None:
    """Delete what a process that was killed while packing has left in a bucket."""
    leftovers = [
        name for name in sizes(target) if not name.startswith(f"{ownership.LOCAL_FOLDER}/")
    ]
    own = re.compile(rf"(images|clips)-\d+\.arrayrecord|{clip_records.SIZES}")
    if not all(own.fullmatch(name) for name in leftovers):  # the manifest of a packed set, too
        raise ConfigError(f"{target} exists: choose another --out, or remove it first")
    if leftovers:
        print(
            f"strata data pack: {target} has {len(leftovers)} files of a packing that was stopped: "
            "they are deleted, and packing starts over",
            file=sys.stderr,
        )
    for name in leftovers:
        (target / name).unlink(missing_ok=True)


class ShardWriter:
    """A writer of records to files of about `shard_bytes`, whose names begin with `prefix`."""

    def __init__(self, folder: NewFolder, prefix: str, shard_bytes: int):
        self._folder, self._prefix, self._shard_bytes = folder, prefix, shard_bytes
        self._shard: _Shard | None = None
        self._done: list[dict[str, Any]] = []

    def write(self, stored: bytes) -> None:
        """Write one record."""
        if self._shard is None or self._shard.bytes >= self._shard_bytes:
            self._close_shard()
            name = f"{self._prefix}-{len(self._done):05d}.arrayrecord"
            self._shard = _Shard(self._folder.local / name)
        self._shard.write(stored)

    def finish(
        self,
        format: str,
        schema: dict[str, Any],
        classes: tuple[str, ...],
        unreadable: list[str],
        remarks: Sequence[str] = (),
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
            "remarks": list(remarks),
        }
        content |= {"fingerprint": manifest.fingerprint_of(content)}
        (self._folder.local / manifest.MANIFEST).write_text(json.dumps(content, indent=1) + "\n")
        return content

    def _close_shard(self) -> None:
        if self._shard is not None:
            self._done.append(self._shard.close())
            self._folder.keep(self._shard.path)
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
def _failures_as_data_errors(out: str, local: pathlib.Path) -> Iterator[None]:
    """Turn failed writes into a DataError; ArrayRecord reports one as a RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename and is_remote(str(error.filename)):
            raise DataError(f"packing into {out} failed: {error.strerror}") from error
        parent = next(folder for folder in local.absolute().parents if folder.exists())
        free = shutil.disk_usage(parent).free >> 20
        raise DataError(
            f"packing into {out} failed ({free} MiB free in {parent}), nothing is left: {error}"
        ) from error
