"""Record which files a command has finished, so that it resumes after being stopped."""

import contextlib
import hashlib
import json
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pipeline.core.errors import ConfigError
from pipeline.storage import small_files
from pipeline.storage.paths import AnyPath, Path, as_path, contents, is_remote, sizes

NAME = ".strata-done.jsonl"
FOLDER = ".strata-done"  # in a bucket
_LINES = 500  # of one object in it


class Journal:
    """A file in the results' folder with one line for each finished input.

    An input is done if its result exists, nothing else was written in its place since, and neither
    the input, nor the codec, nor a setting has changed. Damaged lines, such as one that was cut off
    when the last run was stopped, are set aside, so their inputs are processed again.

    In a bucket, to whose files nothing can be appended, it is a folder of files of up to 500 lines:
    each process rewrites its own newest one.

    Raises:
      ConfigError: the journal exists and cannot be read.
    """

    def __init__(self, folder: AnyPath, **settings: Any):
        self._folder, self._settings = as_path(folder), settings
        self._lines: _Lines = (
            _RemoteLines(self._folder / FOLDER)
            if is_remote(folder)
            else _LocalLines(pathlib.Path(folder) / NAME)
        )
        self._there = _Places(self._folder)
        self._versions = _Versions()
        # key -> (place in the folder, result)
        self._done: dict[str, tuple[str, dict[str, Any]]] = {}
        # place in the folder -> key of what was written there last
        self._owner: dict[str, str] = {}
        try:
            lines = self._lines.read()
        except OSError as error:
            raise ConfigError(f"--out {self._lines.file}: {error.strerror}") from None
        for line in lines:
            entry = small_files.entry_of(line, _is_entry)
            if entry is not None:
                self._note(entry["key"], entry["place"], entry["result"])

    def once(
        self, source: AnyPath, name: str, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the result of `work` on a file, or its earlier result with done_before=True.

        Args:
          source: the input file.
          name: name of the result, as far as it is known beforehand.
          work: processes the file; its result has "out", the path that it wrote.

        Raises:
          ConfigError: the folder cannot be written.
        """
        # Take the key first: a source that changes during the work gets another key next time.
        key = self._key(source, name)
        if key in self._done:
            place, result = self._done[key]
            if self._owner[place] == key and place in self._there:
                return result | {"out": str(self._folder / place), "done_before": True}
        result = work()
        place = as_path(result["out"]).relative_to(self._folder).as_posix()
        self._note(key, place, result)
        self._there.add(place)
        try:
            self._lines.append(json.dumps({"key": key, "place": place, "result": result}))
        except OSError as error:
            raise ConfigError(f"--out {self._lines.file}: {error.strerror}") from None
        return result

    def _note(self, key: str, place: str, result: dict[str, Any]) -> None:
        self._done[key], self._owner[place] = (place, result), key

    def _key(self, source: AnyPath, name: str) -> str:
        if is_remote(source):
            where, state = os.fspath(source), self._versions.of(source)
        else:
            path = pathlib.Path(source)
            where, state = str(path.resolve()), []
            with contextlib.suppress(OSError):
                stat = path.stat()
                state = [stat.st_size, stat.st_mtime_ns]
        content = [where, state, name, self._settings]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("key"), str)
        and isinstance(entry.get("place"), str)
        and isinstance(entry.get("result"), dict)
    )


class _Lines(Protocol):
    @property
    def file(self) -> AnyPath: ...

    def read(self) -> Iterable[bytes]: ...

    def append(self, line: str) -> None: ...


class _LocalLines:
    """Lines of a file, to which lines are appended."""

    def __init__(self, file: pathlib.Path):
        self.file = file

    def read(self) -> Iterable[bytes]:
        try:
            small_files.mend_lines(self.file, _is_entry)
            return self.file.read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []  # writing the first result reports the latter

    def append(self, line: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.write((line + "\n").encode())


class _RemoteLines:
    """Lines of the files in a folder of a bucket; the newest file of this process is rewritten."""

    def __init__(self, folder: Path):
        self._folder, self.file = folder, folder
        self._current: list[str] = []

    def read(self) -> Iterable[bytes]:
        names = list(sizes(self._folder))
        found = contents(self._folder, names)
        return [line for name in names for line in found[name].splitlines()]

    def append(self, line: str) -> None:
        if len(self._current) % _LINES == 0:
            self._current = []
            self.file = self._folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
        self._current.append(line)
        self.file.write_text("\n".join([*self._current, ""]))


class _Places:
    """Knowledge of which results exist in a folder; one in a bucket is listed once."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._listed = set(sizes(folder)) if is_remote(folder) else None

    def __contains__(self, place: str) -> bool:
        return (self._folder / place).exists() if self._listed is None else place in self._listed

    def add(self, place: str) -> None:
        if self._listed is not None:
            self._listed.add(place)


class _Versions:
    """Versions of objects; each folder is listed once, instead of a request for every object."""

    def __init__(self):
        self._listed: dict[str, dict[str, str]] = {}

    def of(self, source: AnyPath) -> str:
        from pipeline.storage import buckets  # The clients take a second to import.

        folder, _, name = os.fspath(source).rpartition("/")
        if folder not in self._listed:
            try:
                self._listed[folder] = buckets.versions(folder)
            except FileNotFoundError:
                self._listed[folder] = {}
        return self._listed[folder].get(name, "")
