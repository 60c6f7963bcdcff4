"""What a dataset of images offers to the loader."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int32, UInt8

from pipeline.data import randomness

Gathered = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]]


class Record(NamedTuple):
    """One example: an encoded file's bytes or uint8 pixels [h w c] with c 1 or 3; its class or -1."""

    data: bytes | np.ndarray
    label: int


@runtime_checkable
class Source(Protocol):
    """Random access to images. Reading is thread-safe; a source pickles, to go to worker processes.

    Attributes:
      fingerprint: changes when the examples or their order change.
      classes: names of the labels, or empty.
      shape: (h, w, c) when all examples are pixels of this one shape; else None.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def shape(self) -> tuple[int, int, int] | None: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record:
        """Raises Unreadable when this example cannot be used."""
        ...

    def gather(self, indices: Int[np.ndarray, " n"]) -> Gathered | None:
        """Pixels, in a new array, and labels of several examples at once; None where `shape` is."""
        ...

    def name(self, index: int) -> str:
        """What to call an example in a message."""
        ...


class Subset:
    """A fixed random part of a source: places [start, stop) of one permutation that no seed changes."""

    def __init__(self, source: Source, start: int, stop: int):
        self.source, self.start, self.stop = source, start, stop
        self.classes, self.shape = source.classes, source.shape
        self.fingerprint = f"{source.fingerprint}[{start}:{stop}]"

    def __len__(self) -> int:
        return self.stop - self.start

    def _index(self, index: int) -> int:
        return randomness.shuffled(randomness.HELD_OUT, self.start + index, len(self.source))

    def __getitem__(self, index: int) -> Record:
        return self.source[self._index(index)]

    def gather(self, indices: Int[np.ndarray, " n"]) -> Gathered | None:
        return self.source.gather(
            np.array([self._index(int(index)) for index in indices], np.int64)
        )

    def name(self, index: int) -> str:
        return self.source.name(self._index(index))
