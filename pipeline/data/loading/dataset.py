"""Batches of examples for training and evaluation, read ahead by Grain."""

import hashlib
import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from absl import flags
from jaxtyping import Int, Int32

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.labels import UNKNOWN
from pipeline.core.modalities import MODALITIES
from pipeline.data.loading.batches import (
    CropBatches,
    Draws,
    EvaluationBatches,
    Examples,
    Loaded,
    TrainingBatches,
    dtype_of,
)
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.workers import end_with_parent
from pipeline.data.unreadable import Budget, Unreadable, file_of

_READ_AHEAD_BYTES = 256 << 20  # finished batches of all workers together


def digest(*settings: Any) -> str:
    """Return the fingerprint of a dataset: the sha256 of the settings that decide its stream."""
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


class Dataset:
    """A training set, and a set held out for evaluation, as batches.

    A subclass for a modality is a dataclass whose fields are the keys of config.data. It defines
    `example_shape` and `model_sizes`, and sets the attributes, `_training`, and `_held_out` (empty
    if nothing is held out).

    Attributes:
      modality: the name of the examples' modality (pipeline.core.modalities).
      what: its plural, for messages.
      fingerprint: sha256 over the training examples and the settings that change their stream.
      classes: names of the labels, or empty.
    """

    modality: ClassVar[str]
    what: ClassVar[str]
    source: str
    path: str
    num_workers: int
    max_unreadable: int
    fingerprint: str
    classes: tuple[str, ...]
    _budget: Budget
    _training: Mix[Any]
    _held_out: Sequence[Any]
    num_crops: int = 0  # fixed crops of each example; 0 draws a new one whenever it is shown

    def __init_subclass__(cls) -> None:
        cls.what = MODALITIES[cls.modality].plural

    @classmethod
    def example_shape(cls, settings: Mapping[str, Any]) -> tuple[int, ...]:
        """Return the shape of one example that a recipe's config.data asks for; reads no data."""
        raise NotImplementedError

    @property
    def model_sizes(self) -> dict[str, tuple[str, int]]:
        """Return, by argument of a model, the key of config.data and the value it must have."""
        raise NotImplementedError

    @property
    def run_files(self) -> dict[str, Mapping[str, Any]]:
        """Return the content of the JSON files that a run on this data keeps, by name."""
        return {}

    def some_labels(self) -> Int32[np.ndarray, " n"]:
        """Return the labels of at least the first 1,000 training examples; -1 where unknown."""
        return np.full(1, UNKNOWN, np.int32)

    @property
    def where(self) -> str:
        """The path or the name of the source, for messages."""
        return self.path or self.source

    def _check_limits(self) -> None:
        """Check the settings of workers and unreadable examples, and start counting the latter."""
        if self.num_workers < 0:
            raise ConfigError(f"data.num_workers={self.num_workers} must be 0 or more")
        if self.num_crops < 0:
            raise ConfigError(f"data.num_crops={self.num_crops} must be 0 or more")
        if self.max_unreadable < 0:
            raise ConfigError(f"data.max_unreadable={self.max_unreadable} must be 0 or more")
        self._budget = Budget(self.max_unreadable, self.what)

    @property
    def unreadable(self) -> list[str]:
        """Return a line, "name: reason", for each file that any iterator has skipped so far."""
        return list(self._budget.found.values())

    @property
    def num_examples(self) -> int:
        """Number of examples in the training set."""
        return sum(map(len, self._training.kinds))

    @property
    def num_eval_examples(self) -> int:
        """Number of examples held out for evaluation."""
        return sum(map(len, self._held_out))

    def train(
        self,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        rows: Int[np.ndarray, " b"] | None = None,
    ) -> "Batches":
        """Return endless batches, beginning with batch `start_step`; reading ahead starts now.

        Args:
          batch_size: global batch size.
          rows: the rows of each batch that this process reads; all by default.

        Raises:
          DataError: there are fewer examples than rows in a batch.
        """
        rows = np.arange(batch_size) if rows is None else rows
        if batch_size > self.num_examples:
            raise DataError(
                f"{self.where} has {self.num_examples} training examples, fewer than "
                f"batch_size={batch_size}: lower batch_size or add {self.what}"
            )
        batches = TrainingBatches(
            self._training,
            batch_size=batch_size,
            rows=rows,
            seed=seed,
            start_step=start_step,
            max_unreadable=self.max_unreadable,
            what=self.what,
            num_crops=self.num_crops,
        )
        return Batches(
            self, _read_ahead(batches, len(rows) * _largest(self._training.kinds), self.num_workers)
        )

    def fixed_crops(self, batch_size: int) -> CropBatches:
        """Return all fixed crops of the training examples, as batches.

        Raises:
          ConfigError: there are none, or examples have several shapes.
        """
        if not self.num_crops:
            raise ConfigError(
                "every step draws new crops: set data.num_crops, the number of fixed crops of each "
                "example; 1 is enough with data.crop='center' and data.flip=False"
            )
        if len(self._training.kinds) != 1:
            raise ConfigError("data.buckets and data.image_fraction have crops of several shapes")
        (examples,) = self._training.kinds
        return CropBatches(examples, batch_size=batch_size, num_crops=self.num_crops)

    def evaluate(
        self,
        batch_size: int,
        num_examples: int | None = None,
        rows: Int[np.ndarray, " b"] | None = None,
    ) -> "Batches":
        """Return batches of each held-out example once, or of `num_examples`, in a fixed order.

        Every process gets the same number of batches; padding has mask 0. Reading uses threads: an
        evaluation is too short to wait for worker processes to start.

        Raises:
          ConfigError: nothing is held out.
        """
        rows = np.arange(batch_size) if rows is None else rows
        if not self._held_out:
            raise ConfigError(
                "there is nothing to evaluate on: set data.eval_path, or data.eval_fraction above 0"
            )
        if num_examples is not None and num_examples < 1:
            raise ConfigError(f"num_examples={num_examples} must be at least 1")
        parts = _portions(
            self._held_out, self.num_eval_examples if num_examples is None else num_examples
        )
        batches = EvaluationBatches(parts, batch_size=batch_size, rows=rows)
        return Batches(
            self, _read_ahead(batches, len(rows) * _largest(self._held_out), num_workers=0)
        )

    def originals(self, split: str) -> Iterator[np.ndarray]:
        """Yield the images of the split "train" or "eval" before scaling and cropping, in order.

        Raises:
          ConfigError: these are no images. DataError: an image that cannot be read.
        """
        raise ConfigError(f"--original is for images: this recipe has {self.what}")

    def eval_factors(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[tuple[str, ...], Int32[np.ndarray, "n k"]]:
        """Return the names and values of the factors of held-out examples, by a batch's "index".

        Raises:
          ConfigError: the source knows no factors.
        """
        raise ConfigError(
            f"data.source={self.source!r} knows no factors of its examples, as 'dsprites' does"
        )

    def _check_readable(self, kinds: Sequence[Examples], where: str) -> None:
        """Read examples of each kind until one works, so that a bad dataset fails early."""
        for examples in kinds:
            failed = Budget(self.max_unreadable, self.what)
            for index in range(len(examples)):
                try:
                    examples.read(index, Draws())
                    break
                except Unreadable as error:
                    failed.add(file_of(examples, index), f"{examples.name(index)}: {error}")
            else:
                raise DataError(
                    f"{where}: none of the {len(examples)} {self.what} can be used; "
                    f"{next(iter(failed.found.values()))}"
                )

    def note_unreadable(self, skipped: tuple[tuple[str, str], ...]) -> None:
        """Count files that could not be read. Raises DataError beyond max_unreadable."""
        for file, message in skipped:
            self._budget.add(file, message)


class Batches(Iterator[dict[str, np.ndarray]]):
    """An iterator of batches, whose threads and processes stop on close() or after a `with`."""

    def __init__(self, data: Dataset, iterator: Any):
        self._data, self._iterators = data, [iterator]
        # Also at exit and with the last reference: Grain's own clean-up runs after its modules are
        # gone.
        self._finalizer = weakref.finalize(self, _close, self._iterators)

    def __next__(self) -> dict[str, np.ndarray]:
        if not self._iterators:
            raise StopIteration
        try:
            loaded: Loaded = next(self._iterators[0])
        except RuntimeError as error:
            raise DataError(
                f"a data worker process died ({str(error).split('. ')[0]}); "
                "if memory or /dev/shm ran out, lower data.num_workers"
            ) from error
        self._data.note_unreadable(loaded.skipped)
        return loaded.batch

    def close(self) -> None:
        """Stop reading ahead, and end the iteration."""
        self._finalizer()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _close(iterators: list[Any]) -> None:
    iterators.pop().close()


def _read_ahead(
    batches: TrainingBatches | EvaluationBatches, batch_bytes: int, num_workers: int
) -> Any:
    """Return a Grain iterator over `batches`, with threads or with workers of two threads."""
    import grain  # slow, and not needed to check settings

    threads = min(4, os.cpu_count() or 1) if num_workers == 0 else 2
    affordable = _READ_AHEAD_BYTES // (max(1, num_workers) * batch_bytes)
    options = grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=int(np.clip(affordable, 2, 16))
    )
    dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
    if num_workers:
        # Grain reads absl flags, which are unparsed outside of absl.app.
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2),
            worker_init_fn=end_with_parent,
        )
    iterator = iter(dataset)
    iterator.start_prefetch()
    return iterator


def _largest(kinds: Sequence[Examples]) -> int:
    """Return the bytes of the largest example."""
    return max(int(np.prod(each.shape)) * dtype_of(each).itemsize for each in kinds)


def _portions(kinds: Sequence[Examples], count: int) -> list[tuple[Examples, int]]:
    """Divide `count` examples among the kinds, in proportion to their numbers."""
    ends = np.cumsum([len(examples) for examples in kinds])
    bounds = np.round(ends * min(1.0, count / int(ends[-1]))).astype(int)
    return list(zip(kinds, np.diff(bounds, prepend=0).tolist(), strict=True))
