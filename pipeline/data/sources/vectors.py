"""Vectors in a file: numbers [n d] in an .npy, or lines of numbers in a .csv."""

import hashlib
import pathlib

import numpy as np
from jaxtyping import Int, Shaped

from pipeline.core.errors import DataError
from pipeline.data.source import Record, Vectors

MODALITY = "vector"
SUFFIXES = (".npy", ".csv")


class VectorFile:
    """Finite numbers [n d] of a file at `path`, as float32.

    Lines of a .csv have numbers between commas, and the first may have names instead.

    Raises:
      DataError: the file cannot be read, or holds something else.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        values = _table(pathlib.Path(path), key)
        if values.ndim != 2 or values.dtype.kind not in "fiu" or 0 in values.shape:
            raise DataError(
                f"{path} holds {values.dtype} {list(values.shape)}, but must hold numbers "
                "[n d], one vector in each row"
            )
        self._values = np.ascontiguousarray(values, np.float32)
        wrong = np.flatnonzero(~np.isfinite(self._values).all(axis=1))
        if wrong.size:
            raise DataError(f"{path}: vector {wrong[0]} has a value that is not a finite float32")
        self.shape = (self._values.shape[1],)
        self.fingerprint = f"vectors:{hashlib.sha256(self._values.tobytes()).hexdigest()}"

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> Record:
        return Record(self._values[index].copy(), -1)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Vectors:
        return self._values[indices], np.full(len(indices), -1, np.int32)

    def name(self, index: int) -> str:
        return f"{self.path}[{index}]"


def _table(path: pathlib.Path, key: str) -> Shaped[np.ndarray, "..."]:
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, allow_pickle=False)
        with path.open(encoding="utf-8") as lines:
            first = lines.readline()
        return np.loadtxt(path, delimiter=",", ndmin=2, skiprows=int(_is_header(first)))
    except FileNotFoundError:
        raise DataError(f"{key}={str(path)!r} does not exist: give an .npy or .csv file") from None
    except (OSError, ValueError) as error:  # text that is no number, or rows of unequal length
        raise DataError(f"{path} cannot be read as vectors: {error}") from None


def _is_header(line: str) -> bool:
    """Return whether no field of a line is a number."""

    def is_number(field: str) -> bool:
        try:
            float(field)
        except ValueError:
            return False
        return True

    return not any(map(is_number, line.split(",")))


create = VectorFile
