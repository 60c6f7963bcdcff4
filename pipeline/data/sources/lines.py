"""Sentences in a text file, one on each line."""

import hashlib
import pathlib

from pipeline.core.errors import DataError
from pipeline.data.source import Line

MODALITY = "text"
SUFFIXES = (".txt",)


class Lines:
    """The lines of UTF-8 text that are not blank, without white space at their ends.

    Raises:
      DataError: there are none.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, text: str, where: str):
        self.where = where
        found = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
        self._lines = [(number, line) for number, line in found if line]
        if not self._lines:
            raise DataError(f"{where} has no lines of text")
        content = "\n".join(line for _, line in self._lines)
        self.fingerprint = f"lines:{hashlib.sha256(content.encode()).hexdigest()}"

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Line:
        return Line(self._lines[index][1], -1)

    def name(self, index: int) -> str:
        return f"{self.where}, line {self._lines[index][0]}"


class LineFile(Lines):
    """The lines of the file at `path`. Raises DataError: it is no UTF-8 text, or has no lines."""

    def __init__(self, path: str, key: str = "data.path"):
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DataError(f"{key}={str(path)!r} does not exist: give a text file") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text: byte {error.start} is no letter") from None
        except OSError as error:
            raise DataError(f"{key} {path}: {error.strerror}") from None
        super().__init__(text, path)


create = LineFile
