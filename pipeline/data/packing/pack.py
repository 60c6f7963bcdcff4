"""Packs a folder, a zip or an array file of images into ArrayRecord shards with a manifest."""

import io
import os
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from pipeline.core import progress
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.decode import decode
from pipeline.data.images.transforms import shrink_shorter_side
from pipeline.data.records import image_records, manifest
from pipeline.data.records.writer import NewFolder, ShardWriter, new_folder
from pipeline.data.source import ImageSource, Record
from pipeline.data.sources import by_suffix, open_source
from pipeline.data.unreadable import Budget, Unreadable, few

_CHUNK = 256  # examples decoded in parallel at a time


def kind_of(path: pathlib.Path) -> str:
    """Return the name of the source that reads a path: by its suffix, or for folders."""
    files = by_suffix("image")
    if not path.exists():
        raise DataError(
            f"{path} does not exist: give a folder of images or a file ({', '.join(files)})"
        )
    if path.is_dir():
        if (path / manifest.MANIFEST).exists():
            raise DataError(f"{path} is packed already")
        return "arrays" if (path / "images.npy").exists() else "folder"
    if path.suffix.lower() not in files:
        raise DataError(f"{path} is neither a folder nor a file of images ({', '.join(files)})")
    return files[path.suffix.lower()]


def pack(
    path: str,
    out: str,
    *,
    image_size: int = 0,
    shard_bytes: int = 256 << 20,
    raw: bool = False,
    max_unreadable: int = 10,
) -> dict[str, Any]:
    """Write the images under `path` to the new folder `out`, and return its manifest.

    `out` may be in a bucket, and appears only when it is complete. Every image is decoded once, so
    that none in `out` is unreadable; images that fail are left out and named in the manifest.

    Args:
      image_size: shrink larger images to this shorter side, and store them as PNG; 0 keeps the
        bytes of files.
      shard_bytes: approximate size of a shard.
      raw: store decoded pixels, which are the fastest to read and best for small images; arrays are
        always stored so.
      max_unreadable: maximal number of images that are left out.

    Raises:
      DataError: the source cannot be used.
      ConfigError: `out` exists, or a setting is out of range.
    """
    if image_size < 0 or shard_bytes < 1:
        raise ConfigError("--image_size must be 0 (keep) or more, and --shard_mb above 0")
    with new_folder(out) as folder:
        kind = kind_of(pathlib.Path(path))
        source = open_source(kind, path, modality="image", key="SRC")
        raw = raw or kind == "arrays"
        return _write(source, folder, image_size, shard_bytes, raw, max_unreadable)


def _write(
    source: ImageSource,
    folder: NewFolder,
    image_size: int,
    shard_bytes: int,
    raw: bool,
    max_unreadable: int,
) -> dict[str, Any]:
    unreadable = Budget(max_unreadable, "images")
    shapes: set[tuple[int, ...]] = set()
    writer = ShardWriter(folder, "images", shard_bytes)
    records = progress.track(_prepared(source, image_size, raw), "packing", len(source), "images")
    for done, record in records:
        if isinstance(record, str):
            unreadable.add(source.name(done - 1), record)
        else:
            writer.write(image_records.to_bytes(record))
            shapes.add(() if isinstance(record.data, bytes) else record.data.shape)
    skipped = list(unreadable.found.values())
    if not shapes:
        raise DataError(f"none of the {len(source)} images can be read; {few(skipped)}")
    shape = list(shapes.pop()) if raw and len(shapes) == 1 else None
    schema = {"encoding": "raw" if raw else "encoded", "shape": shape}
    return writer.finish(manifest.IMAGES, schema, source.classes, skipped)


def _prepared(
    source: ImageSource, image_size: int, raw: bool
) -> Iterator[tuple[int, Record | str]]:
    """Yield (number done, record or "name: reason") in the source's order, decoded by threads."""

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
