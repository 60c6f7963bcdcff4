"""What a dataset of videos offers to the loader."""

import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from pipeline.data import randomness


class Video(NamedTuple):
    """One video: a file's path, a file's bytes, or frames uint8 [t h w c] with c 1 or 3; its class or -1.

    Of a file the seconds from `begin` to `end` count; an array has `fps` frames a second.
    """

    data: str | bytes | np.ndarray
    label: int
    begin: float = 0.0
    end: float = math.inf
    fps: float = 25.0


@runtime_checkable
class VideoSource(Protocol):
    """Random access to videos. Reading is thread-safe; a source pickles, to go to worker processes.

    Attributes:
      fingerprint: changes when the videos or their order change.
      classes: names of the labels, or empty.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Video:
        """Raises Unreadable when this video cannot be used; of a file, what is in it shows when it is opened."""
        ...

    def size(self, index: int) -> tuple[int, int] | None:
        """Height and width, upright, where they are known without opening a file."""
        ...

    def name(self, index: int) -> str:
        """What to call a video in a message."""
        ...


class VideoSubset:
    """A fixed random part of a source: places [start, stop) of one permutation that no seed changes."""

    def __init__(self, source: VideoSource, start: int, stop: int):
        self.source, self.start, self.stop = source, start, stop
        self.classes = source.classes
        self.fingerprint = f"{source.fingerprint}[{start}:{stop}]"

    def __len__(self) -> int:
        return self.stop - self.start

    def _index(self, index: int) -> int:
        return randomness.shuffled(randomness.HELD_OUT, self.start + index, len(self.source))

    def __getitem__(self, index: int) -> Video:
        return self.source[self._index(index)]

    def size(self, index: int) -> tuple[int, int] | None:
        return self.source.size(self._index(index))

    def name(self, index: int) -> str:
        return self.source.name(self._index(index))
