"""What a command over many files has done already, so that the same command goes on after being stopped."""

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

from pipeline.core.errors import ConfigError

NAME = ".strata-done.jsonl"


class Journal:
    """One line a finished file, in the folder of the results.

    A file counts as done where its result is there, nothing else was written in its place since, and neither it, nor
    the codec, nor a setting has changed. Lines that cannot be read do not count: their files are done again.

    Raises:
      ConfigError: it is there and cannot be opened.
    """

    def __init__(self, folder: pathlib.Path, **settings: Any):
        self._folder, self._file, self._settings = folder, folder / NAME, settings
        self._done: dict[
            str, tuple[str, dict[str, Any]]
        ] = {}  # key -> (place in the folder, result)
        self._owner: dict[
            str, str
        ] = {}  # place in the folder -> key of what was written there last
        content = self._read()
        self._cut = not content.endswith(b"\n") and content != b""
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                self._note(entry["key"], entry["place"], dict(entry["result"]))
            except (
                ValueError,
                KeyError,
                TypeError,
            ):  # cut short when the last run was stopped, or damaged
                continue

    def once(
        self, source: pathlib.Path, name: str, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What `work` gives of a file, with "out", where it wrote; or what it gave before, with done_before=True.

        `name` is what the result is called, so far as that is known beforehand.

        Raises:
          ConfigError: the folder cannot be written.
        """
        # A source that changes while it is worked on has another key at the next run.
        key = self._key(source, name)
        if key in self._done:
            place, result = self._done[key]
            if self._owner[place] == key and (self._folder / place).exists():
                return result | {"out": str(self._folder / place), "done_before": True}
        result = work()
        place = pathlib.Path(result["out"]).relative_to(self._folder).as_posix()
        self._note(key, place, result)
        line = json.dumps({"key": key, "place": place, "result": result}) + "\n"
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                file.write((("\n" if self._cut else "") + line).encode())
        except OSError as error:
            raise ConfigError(f"--out {self._file}: {error.strerror}") from None
        self._cut = False
        return result

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except (
            FileNotFoundError,
            NotADirectoryError,
        ):  # who writes the first result tells of the latter
            return b""
        except OSError as error:
            raise ConfigError(f"--out {self._file}: {error.strerror}") from None

    def _note(self, key: str, place: str, result: dict[str, Any]) -> None:
        self._done[key], self._owner[place] = (place, result), key

    def _key(self, source: pathlib.Path, name: str) -> str:
        try:
            stat = source.stat()
            state = [stat.st_size, stat.st_mtime_ns]
        except OSError:
            state = []
        content = [str(source.resolve()), state, name, self._settings]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
