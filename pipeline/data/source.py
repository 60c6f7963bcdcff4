"""The contract between a dataset and the loader: random access to examples."""

import math
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8

Pixels = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]]
Vectors = tuple[Float32[np.ndarray, "n d"], Int32[np.ndarray, " n"]]
Item = TypeVar("Item", covariant=True)


class Record(NamedTuple):
    """One image or vector, and its class or -1.

    An image is an encoded file's bytes or uint8 pixels [h w c] with c 1 or 3, and a vector is
    float32 [d].
    """

    data: bytes | np.ndarray
    label: int


class Video(NamedTuple):
    """One video: a file's path, a file's bytes, or uint8 frames [t h w c] with c 1 or 3.

    Attributes:
      label: the class, or -1.
      begin, end: seconds between which a file counts.
      fps: frames per second of an array.
    """

    data: str | bytes | np.ndarray
    label: int
    begin: float = 0.0
    end: float = math.inf
    fps: float = 25.0


class Line(NamedTuple):
    """One line of text, and its class or -1."""

    text: str
    label: int


@runtime_checkable
class Source(Protocol[Item]):
    """Random access to examples. Reading is thread-safe, and a source can be pickled for a worker.

    Attributes:
      fingerprint: a string that changes when the examples or their order change.
      classes: names of the labels, or empty.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Item:
        """Return one example. Raises Unreadable when it cannot be used."""
        ...

    def name(self, index: int) -> str:
        """Return the name of an example for messages."""
        ...


@runtime_checkable
class ImageSource(Source[Record], Protocol):
    """Random access to images.

    Attributes:
      shape: (h, w, c) when all examples are pixels of this one shape, otherwise None.
    """

    @property
    def shape(self) -> tuple[int, int, int] | None: ...

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels | None:
        """Return a new array of pixels, and labels, of several examples; None if `shape` is."""
        ...


@runtime_checkable
class VectorSource(Source[Record], Protocol):
    """Random access to vectors of finite numbers.

    Attributes:
      shape: (d,), of all vectors.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def gather(self, indices: Int[np.ndarray, " n"]) -> Vectors:
        """Return a new array of several vectors, and their labels."""
        ...


@runtime_checkable
class FactorSource(Source[Record], Protocol):
    """Images that were made from known factors of variation, for evaluation (`strata eval`).

    Attributes:
      factor_names: a name for each factor.
    """

    @property
    def factor_names(self) -> tuple[str, ...]: ...

    def factors(self, indices: Int[np.ndarray, " n"]) -> Int32[np.ndarray, "n k"]:
        """Return the values of several examples' factors, as numbers from 0."""
        ...


@runtime_checkable
class VideoSource(Source[Video], Protocol):
    """Random access to videos. A damaged file may be found only when it is opened."""

    def size(self, index: int) -> tuple[int, int] | None:
        """Return the height and width, upright, if they are known without opening a file."""
        ...


@runtime_checkable
class TextSource(Source[Line], Protocol):
    """Random access to lines of text."""
