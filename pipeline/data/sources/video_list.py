"""Videos, or parts of videos, that a .csv or .jsonl file lists."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.core.errors import DataError
from pipeline.data import list_file
from pipeline.data.list_file import SUFFIXES
from pipeline.data.source import Video
from pipeline.storage import transfer
from pipeline.storage.paths import is_remote

MODALITY, READS_BUCKETS = "video", True
KEYS = ("path", "label", "begin", "end")


class VideoList:
    """One video per line: `path`, and optionally `label` (a name), `begin` and `end` (seconds).

    Paths are absolute or relative to the list's folder, and several lines may name parts of one
    file. The videos of a list in a bucket are below the list's folder. A .csv has these names in
    its first line, see `pipeline.data.list_file`. The fingerprint covers the lines and the files'
    sizes. A missing file is unreadable when its turn comes.

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

    def file(self, index: int) -> str:
        """Return the path of a row's video, which other rows may share."""
        return os.path.join(self._folder, self._rows[index][0])

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
        for number, row in list_file.rows(file, KEYS, path=path):
            yield _checked(row, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"{key}={path!r}: {error.strerror or error}") from None


def _checked(row: Mapping[str, Any], where: str) -> tuple[str, str, float, float]:
    name, label = row.get("path", ""), row.get("label", "")
    if not isinstance(name, str) or not _is_file_name(name):
        raise DataError(f"{where}: path={name!r} must be the name of a file")
    if not name:
        raise DataError(f"{where} has no 'path'")
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise DataError(f"{where}: label={label!r} must be a name")
    begin = _seconds(row.get("begin", 0.0), "begin", where)
    end = _seconds(row.get("end", math.inf), "end", where)
    if not 0 <= begin < end:
        raise DataError(f"{where}: begin={begin:g} must be at least 0 and before end={end:g}")
    if is_remote(name):
        raise DataError(
            f"{where}: {name} is in a bucket: put the list there too, above its videos, and "
            "name them by their paths from the list's folder"
        )
    return name, str(label), begin, end


def _is_file_name(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can write
        return False
    return "\0" not in name


def _seconds(value: Any, key: str, where: str) -> float:
    """Return a number of JSON, or the number that a field of a .csv spells."""
    try:
        if isinstance(value, str):
            return float(value.replace("_", "?"))  # Python's literals are no numbers of a list
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise DataError(f"{where}: {key}={value!r} must be a number of seconds")


create = VideoList
