"""The data of a run: config.data -> batches for training and evaluation, through Grain."""

import hashlib
import json
import os
import weakref
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags
from grain.sources import RandomAccessDataSource
from jaxtyping import Int

from pipeline.data.batches import EvaluationBatches, Loaded, TrainingBatches, over_budget, read_example
from pipeline.data.sources import open_split
from pipeline.data.sources.base import Source
from pipeline.data.transforms import Transform
from pipeline.data.unreadable import Unreadable
from pipeline.data.workers import end_with_parent
from pipeline.errors import ConfigError, DataError

_READ_AHEAD_BYTES = 256 << 20  # of finished batches, over all workers


class ImageData:
    """Images as batches of uint8 [b h w c]; the parameters are the keys of a recipe's config.data.

    Batch k of training is a pure function of (settings, seed, k): worker processes, host processes and
    restarts do not change it, so the position in the data is the step and nothing else needs saving.

    Args:
      source: "folder", "zip", "records" (from `strata data pack`), "arrays" (.npz, .npy), "sklearn_images",
        "digits".
      path: the folder or file; empty for scikit-learn's.
      image_size: height and width of the batches' images, in pixels.
      channels: 3 (grey is repeated) or 1 (colour becomes luma).
      crop: "random" or "center": which square of an image; evaluation always takes the centre.
      resize: "shrink" scales the largest square down to image_size and counts smaller images as unreadable;
        "fit" also enlarges them; "none" takes a square of image_size pixels without scaling.
      flip: mirror at random, in training.
      bits: bit depth kept, 1..8; values stay in 0..255 with their lower bits zero.
      num_workers: processes that read ahead; 0 reads ahead in threads of this one, which is enough for small
        images.
      max_unreadable: how many images may turn out unreadable before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the examples held out for evaluation where there is no eval_path.

    Attributes:
      fingerprint: sha256 over the training examples and the settings that alter their stream; not the
        evaluation set.
      classes: names of the labels, or empty.
      unreadable: "name: reason" of each image skipped so far by any iterator of this object.

    Raises:
      ConfigError: a setting that cannot work. DataError: a dataset that cannot be used.
    """

    def __init__(
        self,
        source: str,
        path: str = "",
        *,
        image_size: int,
        channels: int = 3,
        crop: str = "center",
        resize: str = "shrink",
        flip: bool = False,
        bits: int = 8,
        num_workers: int = 0,
        max_unreadable: int = 10,
        eval_path: str = "",
        eval_fraction: float | int = 0.05,
    ):
        if num_workers < 0:
            raise ConfigError(f"data.num_workers={num_workers} must be 0 or more")
        if max_unreadable < 0:
            raise ConfigError(f"data.max_unreadable={max_unreadable} must be 0 or more")
        self.transform = Transform(image_size, channels, crop, resize, flip, bits)
        self.num_workers, self.max_unreadable = num_workers, max_unreadable
        self._where = path or source
        self._train_source, self._eval_source = open_split(
            source, path, eval_path=eval_path, eval_fraction=eval_fraction, image_size=image_size
        )
        self.classes = self._train_source.classes
        self.unreadable: list[str] = []
        settings = [self._train_source.fingerprint, image_size, channels, crop, resize, flip, bits]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        self._check_readable(self._train_source, path or source)
        if self._eval_source is not None and eval_path:
            self._check_readable(self._eval_source, eval_path)

    @property
    def num_examples(self) -> int:
        """Examples in the training set."""
        return len(self._train_source)

    @property
    def num_eval_examples(self) -> int:
        """Examples held out for evaluation."""
        return 0 if self._eval_source is None else len(self._eval_source)

    def train(
        self,
        batch_size: int,
        seed: int,
        start_step: int = 0,
        rows: Int[np.ndarray, " b"] | None = None,
    ) -> "Batches":
        """Endless batches from batch `start_step` on, reading ahead from now on.

        `batch_size` is global; this process gets `rows` of each, or all.
        """
        rows = np.arange(batch_size) if rows is None else rows
        if batch_size > self.num_examples:
            raise DataError(
                f"{self._where} has {self.num_examples} training examples, fewer than "
                f"batch_size={batch_size}: lower batch_size or add images"
            )
        batches = TrainingBatches(
            self._train_source,
            self.transform,
            batch_size=batch_size,
            rows=rows,
            seed=seed,
            start_step=start_step,
            max_unreadable=self.max_unreadable,
        )
        return Batches(self, self._read_ahead(batches, len(rows), self.num_workers))

    def evaluate(
        self,
        batch_size: int,
        num_examples: int | None = None,
        rows: Int[np.ndarray, " b"] | None = None,
    ) -> "Batches":
        """Each held-out example once, or `num_examples` of them, in one fixed random order.

        Every process gets the same number of batches; padding has mask 0. Reads in threads: an evaluation is
        too short to wait for worker processes to start.
        """
        rows = np.arange(batch_size) if rows is None else rows
        if self._eval_source is None:
            raise ConfigError("there is nothing to evaluate on: set data.eval_path, or data.eval_fraction above 0")
        if num_examples is not None and num_examples < 1:
            raise ConfigError(f"num_examples={num_examples} must be at least 1")
        count = min(num_examples or self.num_eval_examples, self.num_eval_examples)
        batches = EvaluationBatches(
            self._eval_source, self.transform, batch_size=batch_size, rows=rows, num_examples=count
        )
        return Batches(self, self._read_ahead(batches, len(rows), num_workers=0))

    def _read_ahead(
        self, batches: RandomAccessDataSource[Loaded], num_rows: int, num_workers: int
    ) -> grain.DatasetIterator:
        """A Grain iterator over `batches`: threads here, or worker processes of a few threads each."""
        batch_bytes = num_rows * int(np.prod(self.transform.shape))
        threads = min(4, os.cpu_count() or 1) if num_workers == 0 else 2
        affordable = _READ_AHEAD_BYTES // (max(1, num_workers) * batch_bytes)
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=int(np.clip(affordable, 2, 16)))
        dataset = grain.MapDataset.source(batches).to_iter_dataset(options)
        if num_workers:
            if not flags.FLAGS.is_parsed():  # Grain reads absl flags, which are unparsed outside of absl.app
                flags.FLAGS.mark_as_parsed()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2),
                worker_init_fn=end_with_parent,
            )
        iterator = iter(dataset)
        iterator.start_prefetch()
        return iterator

    def _check_readable(self, source: Source, where: str) -> None:
        """Reads examples until one works, so that a hopeless dataset fails before anything is compiled."""
        failed: list[str] = []
        for index in range(len(source)):
            try:
                read_example(source, index, self.transform, 0, 0)
                return
            except Unreadable as error:
                failed.append(f"{source.name(index)}: {error}")
                if len(failed) > self.max_unreadable:
                    raise over_budget(failed, self.max_unreadable) from None
        raise DataError(f"{where}: none of the {len(source)} images can be used; {failed[0]}")

    def note_unreadable(self, skipped: tuple[str, ...]) -> None:
        """Counts images that an iterator met; raises DataError beyond the budget."""
        self.unreadable.extend(entry for entry in skipped if entry not in self.unreadable)
        if len(self.unreadable) > self.max_unreadable:
            raise over_budget(self.unreadable, self.max_unreadable)


class Batches(Iterator[dict[str, np.ndarray]]):
    """Batches, read ahead by threads and processes that stop on close() or on leaving a `with` block."""

    def __init__(self, data: ImageData, iterator: grain.DatasetIterator):
        self._data, self._iterators = data, [iterator]
        # At exit too, and dropping the last reference: Grain's own cleaning up comes when its modules are gone.
        self._finalizer = weakref.finalize(self, _close, self._iterators)

    def __next__(self) -> dict[str, np.ndarray]:
        if not self._iterators:
            raise StopIteration
        try:
            loaded: Loaded = next(self._iterators[0])
        except RuntimeError as error:
            raise DataError(
                f"a data worker process died ({str(error).split('. ')[0]}); if memory or /dev/shm ran out, "
                "lower data.num_workers"
            ) from error
        self._data.note_unreadable(loaded.skipped)
        return loaded.batch

    def close(self) -> None:
        """Ends reading ahead, and the iteration."""
        self._finalizer()

    def __enter__(self) -> "Batches":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _close(iterators: list[grain.DatasetIterator]) -> None:
    iterators.pop().close()
