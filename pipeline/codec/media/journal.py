"""Record which files a command has finished, so that it resumes after being stopped."""

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

from pipeline.core.errors import ConfigError

NAME = ".strata-done.jsonl"


class Journal:
    """A file in the results' folder with one line for each finished input.

    An input is done if its result exists, nothing else was written in its place since, and neither
    the input, nor the codec, nor a setting has changed. Unreadable lines are skipped, so their
    inputs are processed again.

    Raises:
      ConfigError: the journal exists and cannot be read.
    """

    def __init__(self, folder: pathlib.Path, **settings: Any):
        self._folder, self._file, self._settings = folder, folder / NAME, settings
        # key -> (place in the folder, result)
        self._done: dict[str, tuple[str, dict[str, Any]]] = {}
        # place in the folder -> key of what was written there last
        self._owner: dict[str, str] = {}
        content = self._read()
        self._cut = not content.endswith(b"\n") and content != b""
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                self._note(entry["key"], entry["place"], dict(entry["result"]))
            except (ValueError, KeyError, TypeError):
                continue  # truncated when the last run was stopped, or damaged

    def once(
        self, source: pathlib.Path, name: str, work: Callable[[], dict[str, Any]]
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
        except (FileNotFoundError, NotADirectoryError):
            return b""  # writing the first result reports the latter
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
