"""The vectors of a run: config.data -> batches of float32 [b d]."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt64

from pipeline.core.errors import ConfigError
from pipeline.data.loading.batches import Draws
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.splits import open_splits
from pipeline.data.source import Vectors, VectorSource

_AT_ONCE = 65_536  # vectors that are read to look at their values


@dataclasses.dataclass(eq=False)
class VectorData(Dataset):
    """Vectors as batches of float32 [b d]; the arguments are the keys of a recipe's config.data.

    Batch k of training is a pure function of (settings, seed, k).

    Args:
      source: name of a module of pipeline.data.sources whose modality is vectors.
      path: the file; empty for a source that reads none.
      num_features: number of values of a vector.
      num_workers: number of processes that read ahead; 0 reads ahead in threads of this process.
      max_unreadable: maximal number of unreadable vectors before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the examples held out for evaluation if there is no eval_path.

    Raises:
      ConfigError: a setting that cannot work.
      DataError: a dataset that cannot be used.
    """

    source: str
    path: str = ""
    _: dataclasses.KW_ONLY
    num_features: int
    num_workers: int = 0
    max_unreadable: int = 10
    eval_path: str = ""
    eval_fraction: float | int = 0.05

    modality = "vector"

    def __post_init__(self):
        self._check_limits()
        train, held_out = open_splits(
            self.source,
            self.path,
            modality=self.modality,
            eval_path=self.eval_path,
            eval_fraction=self.eval_fraction,
            num_features=self.num_features,
        )
        self.classes = train.classes
        for source, where in ((train, self.where), (held_out, self.eval_path or self.where)):
            if source is not None and source.shape != (self.num_features,):
                raise ConfigError(
                    f"data.num_features={self.num_features}, but the vectors of {where} have "
                    f"{source.shape[0]} values"
                )
        self.fingerprint = digest(train.fingerprint, self.num_features)
        self._training = Mix([VectorExamples(train)])
        self._held_out = [] if held_out is None else [VectorExamples(held_out)]

    @classmethod
    def example_shape(cls, settings: Mapping[str, Any]) -> tuple[int, ...]:
        return (settings["num_features"],)

    def first_below(self, least: float) -> str:
        """Return the name of the first vector with a value below `least`, or an empty string."""
        for examples in (*self._training.kinds, *self._held_out):
            source = examples.source
            for start in range(0, len(source), _AT_ONCE):
                stop = min(start + _AT_ONCE, len(source))
                values, _ = source.gather(np.arange(start, stop))
                wrong = np.flatnonzero((values < least).any(axis=1))
                if wrong.size:
                    return source.name(start + int(wrong[0]))
        return ""

    @property
    def model_sizes(self) -> dict[str, tuple[str, int]]:
        return {"num_features": ("data.num_features", self.num_features)}


class VectorExamples:
    """The vectors of a source (see pipeline.data.loading.batches.Examples)."""

    key = "vector"

    def __init__(self, source: VectorSource):
        self.source, self.shape = source, source.shape

    def __len__(self) -> int:
        return len(self.source)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Vectors:
        return self.source.gather(indices)

    def read(self, index: int, draws: Draws) -> tuple[np.ndarray, int]:
        del draws  # vectors are not cropped
        record = self.source[index]
        assert isinstance(record.data, np.ndarray)
        return record.data, record.label

    def finish(
        self,
        pixels: Float32[np.ndarray, "b d"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> Float32[np.ndarray, "b d"]:
        """Return the vectors as they are."""
        del mirrored, noise
        return pixels

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return indices

    def name(self, index: int) -> str:
        return self.source.name(index)
