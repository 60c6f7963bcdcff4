"""Packs a folder, a zip or an array file of images into ArrayRecord shards with a manifest."""

import contextlib
import errno
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from PIL import Image

from pipeline.data import records
from pipeline.data.batches import over_budget
from pipeline.data.decode import decode
from pipeline.data.sources import open_source
from pipeline.data.sources.base import Record, Source
from pipeline.data.transforms import shrink_shorter_side
from pipeline.data.unreadable import Unreadable
from pipeline.errors import ConfigError, DataError

# One record a group, so that reading one decodes no neighbours; image bytes do not compress further.
_WRITER_OPTIONS = "group_size:1,uncompressed"
_CHUNK = 256  # examples decoded in parallel at a time


def kind_of(path: pathlib.Path) -> str:
    """Which kind of source a path holds: "folder", "zip" or "arrays"."""
    if not path.exists():
        raise DataError(f"{path} does not exist: give a folder, a .zip, an .npz or an .npy of images")
    if path.is_dir():
        if (path / records.MANIFEST).exists():
            raise DataError(f"{path} is packed already")
        return "arrays" if (path / "images.npy").exists() else "folder"
    kinds = {".zip": "zip", ".npz": "arrays", ".npy": "arrays"}
    if path.suffix.lower() not in kinds:
        raise DataError(f"{path} is not a folder, a .zip, an .npz or an .npy")
    return kinds[path.suffix.lower()]


def pack(
    path: str,
    out: str,
    *,
    image_size: int = 0,
    shard_bytes: int = 256 << 20,
    raw: bool = False,
    max_unreadable: int = 10,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Writes the images under `path` to the new folder `out`, and returns its manifest.

    `out` appears only once it is whole. Every image is decoded once, so that none in `out` is unreadable;
    those that fail are left out and named in the manifest. With `image_size` larger images are shrunk until
    their shorter side is that (and stored as PNG); else a file's bytes are kept as they are. `raw` stores
    decoded pixels instead, which is the fastest to read and best for small images; arrays are always so.

    Raises DataError for a source that cannot be used, ConfigError when `out` exists.
    """
    if image_size < 0 or shard_bytes < 1:
        raise ConfigError("--image_size must be 0 (as it is) or more, and --shard_mb above 0")
    target = pathlib.Path(out)
    if target.exists():
        raise ConfigError(f"{target} exists: choose another --out, or remove it first")
    kind = kind_of(pathlib.Path(path))
    source = open_source(kind, path)
    raw = raw or kind == "arrays"
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        with _failure_told(target):
            partial.mkdir(parents=True)
            manifest = _write(source, partial, image_size, shard_bytes, raw, max_unreadable, progress)
            (partial / records.MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write(
    source: Source,
    folder: pathlib.Path,
    image_size: int,
    shard_bytes: int,
    raw: bool,
    max_unreadable: int,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    unreadable: list[str] = []
    shapes: set[tuple[int, ...]] = set()
    shards: list[dict[str, Any]] = []
    shard: _Shard | None = None
    for done, record in _prepared(source, image_size, raw):
        if isinstance(record, str):
            unreadable.append(record)
            if len(unreadable) > max_unreadable:
                raise over_budget(unreadable, max_unreadable)
        else:
            if shard is None or shard.bytes >= shard_bytes:
                shards += [shard.close()] if shard else []
                shard = _Shard(folder / f"images-{len(shards):05d}.arrayrecord")
            shard.write(records.to_bytes(record))
            shapes.add(() if isinstance(record.data, bytes) else record.data.shape)
        progress(done, len(source))
    if shard is None:
        raise DataError(f"none of the {len(source)} images can be read; {unreadable[0]}")
    shards.append(shard.close())
    shape = list(shapes.pop()) if raw and len(shapes) == 1 else None
    manifest = {
        "format": records.FORMAT,
        "version": records.VERSION,
        "schema": {"encoding": "raw" if raw else "encoded", "shape": shape},
        "num_examples": sum(entry["num_examples"] for entry in shards),
        "classes": list(source.classes),
        "shards": shards,
        "unreadable": unreadable,
    }
    return {**manifest, "fingerprint": records.fingerprint_of(manifest)}


def _prepared(source: Source, image_size: int, raw: bool) -> Iterator[tuple[int, Record | str]]:
    """(number done, what to store or "name: reason") in the source's order, decoded by a few threads."""

    def prepare(index: int) -> Record | str:
        try:
            return _prepare(source[index], image_size, raw)
        except Unreadable as error:
            return f"{source.name(index)}: {error}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(source), _CHUNK):
            chunk = range(start, min(start + _CHUNK, len(source)))
            for index, record in zip(chunk, pool.map(prepare, chunk), strict=True):
                yield index + 1, record


def _prepare(record: Record, image_size: int, raw: bool) -> Record:
    pixels = decode(record.data, 3) if isinstance(record.data, bytes) else record.data
    too_large = bool(image_size) and min(pixels.shape[:2]) > image_size
    if not raw and not too_large:
        return record
    if too_large:
        pixels = shrink_shorter_side(pixels, image_size)
    return Record(pixels if raw else _png(pixels), record.label)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class _Shard:
    """One ArrayRecord file being written, with the hash of its records."""

    def __init__(self, path: pathlib.Path):
        self.path, self.bytes, self.count = path, 0, 0
        self._writer, self._digest = ArrayRecordWriter(str(path), _WRITER_OPTIONS), hashlib.sha256()

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
        raise DataError(f"packing into {target} failed ({free} MiB free there), nothing is left: {error}") from error
