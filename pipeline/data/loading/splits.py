"""The division of a source into a training part and a part held out for evaluation."""

from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int, Int32

from pipeline.core.errors import ConfigError, DataError
from pipeline.data import randomness, sources
from pipeline.data.shuffle import shuffled
from pipeline.data.source import (
    FactorSource,
    ImageSource,
    Pixels,
    Record,
    Source,
    Vectors,
    VectorSource,
    Video,
    VideoSource,
)
from pipeline.data.unreadable import file_of

Item = TypeVar("Item")


class Subset(Generic[Item]):
    """A fixed random part of a source: places [start, stop) of one permutation for all seeds."""

    def __init__(self, source: Source[Item], start: int, stop: int):
        self.source, self.start, self.stop = source, start, stop
        self.classes = source.classes
        self.fingerprint = f"{source.fingerprint}[{start}:{stop}]"

    def __len__(self) -> int:
        return self.stop - self.start

    def index_of(self, index: int) -> int:
        """Return the index in the source of an example of the subset."""
        return shuffled(randomness.HELD_OUT, self.start + index, len(self.source))

    def __getitem__(self, index: int) -> Item:
        return self.source[self.index_of(index)]

    def name(self, index: int) -> str:
        return self.source.name(self.index_of(index))

    def file(self, index: int) -> str:
        """Return the file of one example, which others may share."""
        return file_of(self.source, self.index_of(index))


class ArraySubset(Subset[Record]):
    """A fixed random part of an ImageSource or a VectorSource."""

    source: ImageSource | VectorSource

    @property
    def shape(self) -> tuple[int, ...] | None:
        return self.source.shape

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels | Vectors | None:
        return self.source.gather(
            np.array([self.index_of(int(index)) for index in indices], np.int64)
        )


def factors_of(
    source: Any, indices: Int[np.ndarray, " n"]
) -> tuple[tuple[str, ...], Int32[np.ndarray, "n k"]] | None:
    """Return the names and values of the factors of examples of a source or a part of it.

    None is returned if the source is no FactorSource.
    """
    while isinstance(source, Subset):
        indices = np.array([source.index_of(int(index)) for index in indices], np.int64)
        source = source.source
    if not isinstance(source, FactorSource):
        return None
    return source.factor_names, source.factors(indices)


class VideoSubset(Subset[Video]):
    """A fixed random part of a VideoSource."""

    source: VideoSource

    def size(self, index: int) -> tuple[int, int] | None:
        return self.source.size(self.index_of(index))


# The part of a source that serves what its modality's sources do.
SUBSETS: dict[str, type[Subset]] = {
    "image": ArraySubset,
    "video": VideoSubset,
    "vector": ArraySubset,
    "text": Subset,
}


def open_splits(
    kind: str,
    path: str,
    *,
    modality: str,
    eval_path: str,
    eval_fraction: float | int,
    **settings: Any,
) -> tuple[Any, Any | None]:
    """Open the training source and the one held out for evaluation, which may be None.

    A source with a division of its own gives both. Otherwise `eval_path` holds another set of the
    same kind, or the fraction `eval_fraction` of the examples, the same ones for all seeds, is kept
    out of training.

    Args:
      kind, path: data.source and data.path.
      modality: a name of pipeline.core.modalities.
      **settings: the sizes of examples, for sources that take them.

    Raises:
      ConfigError: a setting that cannot work.
      DataError: a dataset that cannot be used.
    """
    if "split" in sources.arguments_of(kind):
        if eval_path:
            raise ConfigError(f"data.source={kind!r} takes no data.eval_path")
        train, held_out = (
            sources.open_source(kind, path, modality=modality, split=split, **settings)
            for split in ("train", "eval")
        )
        return train, held_out
    source = sources.open_source(kind, path, modality=modality, **settings)
    if eval_path:
        key = "data.eval_path"
        return source, sources.open_source(kind, eval_path, modality=modality, key=key, **settings)
    count = _num_held_out(len(source), eval_fraction, path or kind)
    if not count:
        return source, None
    subset = SUBSETS[modality]
    return subset(source, count, len(source)), subset(source, 0, count)


def _num_held_out(count: int, eval_fraction: float | int, where: str) -> int:
    """Return how many of `count` examples are kept out of training."""
    if not 0 <= eval_fraction < 1:
        raise ConfigError(f"data.eval_fraction={eval_fraction} must be at least 0 and below 1")
    held_out = max(1, round(count * eval_fraction)) if eval_fraction else 0
    if held_out >= count:
        raise DataError(
            f"{where} has {count} example: too few to hold some out for evaluation "
            "(set data.eval_path, or data.eval_fraction=0)"
        )
    return held_out
