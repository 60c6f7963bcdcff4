"""Videos, or parts of videos, that a .csv or .jsonl file lists."""

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterator
from typing import Any

from pipeline.core.construct import nearest
from pipeline.core.errors import DataError
from pipeline.data.source import Video
from pipeline.storage import transfer
from pipeline.storage.paths import is_remote

MODALITY, READS_BUCKETS = "video", True
KEYS = ("path", "label", "begin", "end")
SUFFIXES = (".csv", ".jsonl")


class VideoList:
    """One video per line: `path`, and optionally `label` (a name), `begin` and `end` (seconds).

    Paths are absolute or relative to the list's folder, and several lines may name parts of one
    file. The videos of a list in a bucket are below the list's folder. A .csv has these names in
    its first line. The fingerprint covers the lines and the files' sizes. A missing file is
    unreadable when its turn comes.

    Raises:
      DataError: the list cannot be read; the message has the line.
    """

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        file = os.fspath(transfer.local_copy(path, name=key))
        rows = list(_rows(file, path, key))
        if not rows:
            raise DataError(f"{path} names no videos")
        self._folder = os.path.dirname(path)
        if is_remote(path):
            names = {os.path.normpath(name) for name, *_ in rows}
            self._folder = os.fspath(
                transfer.local_copy(self._folder, name=key, wanted=names.__contains__)
            )
        self._rows = [(name, begin, end) for name, _, begin, end in rows]
        self.classes = tuple(sorted({label for _, label, _, _ in rows if label}))
        number = {label: index for index, label in enumerate(self.classes)}
        self._labels = [number.get(label, -1) for _, label, _, _ in rows]
        sizes = [_bytes_of(os.path.join(self._folder, name)) for name, _, _, _ in rows]
        content = json.dumps([rows, sizes]).encode()
        self.fingerprint = f"video_list:{hashlib.sha256(content).hexdigest()}"

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Video:
        name, begin, end = self._rows[index]
        return Video(os.path.join(self._folder, name), self._labels[index], begin, end)

    def size(self, index: int) -> None:
        """Return None: a file has to be opened."""

    def name(self, index: int) -> str:
        name, begin, end = self._rows[index]
        part = "" if (begin, end) == (0, math.inf) else f" from {begin:g} to {end:g} s"
        return f"{os.path.join(self._folder, name)}{part}"


def _bytes_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _rows(file: str, path: str, key: str) -> Iterator[tuple[str, str, float, float]]:
    """Yield (path, label, begin, end) of each line of a file, called `path` in messages."""
    if not path.lower().endswith(SUFFIXES):
        raise DataError(f"{key}={path!r} must be a {' or '.join(SUFFIXES)} file that names videos")
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            csv_file = path.lower().endswith(".csv")
            for number, row in _csv(opened) if csv_file else _jsonl(opened):
                yield _checked(row, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"{key}={path!r}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a list of videos: {error}") from None


def _csv(file: Any) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(file)
    for row in reader:
        yield reader.line_num, {key: value for key, value in row.items() if value not in ("", None)}


def _jsonl(file: Any) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _checked(row: Any, where: str) -> tuple[str, str, float, float]:
    if not isinstance(row, dict):
        raise DataError(f"{where} is not an object of {', '.join(KEYS)}")
    for key in row:
        if key not in KEYS:
            raise DataError(f"{where}: {key!r} is not known: {nearest(str(key), KEYS)}")
    if not row.get("path"):
        raise DataError(f"{where} has no 'path'")
    try:
        begin, end = float(row.get("begin") or 0), float(row.get("end") or math.inf)
    except (TypeError, ValueError):
        raise DataError(f"{where}: begin and end must be seconds") from None
    if not 0 <= begin < end:
        raise DataError(f"{where}: begin={begin:g} must be at least 0 and before end={end:g}")
    if is_remote(str(row["path"])):
        raise DataError(
            f"{where}: {row['path']} is in a bucket: put the list there too, above its videos, and "
            "name them by their paths from the list's folder"
        )
    return str(row["path"]), str(row.get("label") or ""), begin, end


create = VideoList
