"""Batch k as a pure function of (seed, k): what Grain's threads and worker processes compute."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from pipeline.data import randomness
from pipeline.data.decode import decode
from pipeline.data.sources.base import Source
from pipeline.data.transforms import Transform
from pipeline.data.unreadable import Unreadable
from pipeline.errors import DataError

# Unreadable replacements in a row before a run gives up: far more than chance brings in a usable dataset.
_ATTEMPTS = 200
_EVALUATION_SEED = 0


class Loaded(NamedTuple):
    """A batch (pipeline.types.Batch) and what could not be read on the way: "name: reason".

    A tuple, so that Grain sees the arrays in it and hands them over in shared memory: in a pipe, the half of
    a batch that a killed worker wrote would let its reader wait for ever.
    """

    batch: dict[str, np.ndarray]
    skipped: tuple[str, ...]


def read_example(source: Source, index: int, transform: Transform, bits_y: int, bits_x: int):
    """One example's square of pixels [size size c] and its label. Raises Unreadable."""
    record = source[index]
    image = record.data
    if isinstance(image, bytes):
        image = decode(image, transform.channels, at_least=transform.at_least)
    return transform.square(image, bits_y, bits_x), record.label


def gather(
    source: Source, example: Int[np.ndarray, " n"], transform: Transform
) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and labels read all at once, where the source's pixels have the right shape already; else None.

    None also when one of them is unreadable: reading one by one finds out which.
    """
    if source.shape != transform.shape or not len(example):
        return None
    try:
        return source.gather(example)
    except Unreadable:
        return None


def over_budget(skipped: list[str], budget: int) -> DataError:
    """The error for more unreadable images than data.max_unreadable allows; names up to three."""
    shown = "; ".join(skipped[:3]) + (f"; and {len(skipped) - 3} more" if len(skipped) > 3 else "")
    return DataError(f"{len(skipped)} unreadable images, more than data.max_unreadable={budget}: {shown}")


class TrainingBatches:
    """Random access to the endless stream of training batches: number i is batch start_step + i.

    Position p = k * batch_size + row of the stream shows example shuffled(seed, p), cropped and flipped by
    draws at p. An unreadable example is replaced by another one drawn at (p, attempt). `rows` are those
    that this process reads.
    """

    def __init__(
        self,
        source: Source,
        transform: Transform,
        *,
        batch_size: int,
        rows: Int[np.ndarray, " b"],
        seed: int,
        start_step: int,
        max_unreadable: int,
    ):
        self.source, self.transform, self.seed, self.max_unreadable = source, transform, seed, max_unreadable
        self.batch_size, self.rows, self.start_step = batch_size, rows, start_step

    def __len__(self) -> int:
        return 1 << 48  # Grain wants a length; no run is as long

    def __getitem__(self, index: int) -> Loaded:
        first = (self.start_step + int(index)) * self.batch_size
        position = first + self.rows
        length = len(self.source)
        example = np.array([randomness.shuffled(self.seed, p, length) for p in position.tolist()], np.int32)
        skipped: list[str] = []
        loaded = gather(self.source, example, self.transform)
        image, label = loaded or self._read(position, example, skipped)
        mirrored = (randomness.draw(self.seed, randomness.FLIP, position) >> np.uint64(63)).astype(bool)
        image = self.transform.finish(image, mirrored)
        mask = np.ones(len(example), np.float32)
        return Loaded({"image": image, "label": label, "index": example, "mask": mask}, tuple(skipped))

    def _read(
        self, position: Int[np.ndarray, " b"], example: Int[np.ndarray, " b"], skipped: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels one by one; corrects `example` where an example had to be replaced."""
        image = np.empty((len(example), *self.transform.shape), np.uint8)
        label = np.empty(len(example), np.int32)
        bits_y = randomness.draw(self.seed, randomness.CROP_Y, position).tolist()
        bits_x = randomness.draw(self.seed, randomness.CROP_X, position).tolist()
        for row in range(len(example)):
            for attempt in range(_ATTEMPTS):
                try:
                    image[row], label[row] = read_example(
                        self.source, int(example[row]), self.transform, bits_y[row], bits_x[row]
                    )
                    break
                except Unreadable as error:
                    message = f"{self.source.name(int(example[row]))}: {error}"
                    if message not in skipped:
                        skipped.append(message)
                    if len(skipped) > self.max_unreadable:
                        raise over_budget(skipped, self.max_unreadable) from None
                    stream = randomness.REPLACEMENT + attempt
                    bits = randomness.draw(self.seed, stream, position[row : row + 1])[0]
                    example[row] = randomness.below(int(bits), len(self.source))
            else:
                raise over_budget(skipped, self.max_unreadable)
        return image, label


class EvaluationBatches:
    """Random access to the batches that show each of `num_examples` examples once, in one fixed random order.

    The last batch is padded with zeros, mask 0 and index -1. So is an unreadable example: it is counted, not
    replaced.
    """

    def __init__(
        self, source: Source, transform: Transform, *, batch_size: int, rows: Int[np.ndarray, " b"], num_examples: int
    ):
        self.source, self.transform = source, transform.for_evaluation()
        self.batch_size, self.rows, self.num_examples = batch_size, rows, num_examples

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __getitem__(self, index: int) -> Loaded:
        first = int(index) * self.batch_size
        position = first + self.rows
        mask = position < self.num_examples
        length = len(self.source)
        example = np.full(len(position), -1, np.int32)
        example[mask] = [randomness.shuffled(_EVALUATION_SEED, p, length) for p in position[mask].tolist()]
        image = np.zeros((len(example), *self.transform.shape), np.uint8)
        label = np.full(len(example), -1, np.int32)
        skipped: list[str] = []
        loaded = gather(self.source, example[mask], self.transform)
        if loaded:
            image[mask], label[mask] = loaded
        else:
            self._read(example, image, label, mask, skipped)
        image = self.transform.finish(image, np.zeros(len(example), bool))
        batch = {"image": image, "label": label, "index": example, "mask": mask.astype(np.float32)}
        return Loaded(batch, tuple(skipped))

    def _read(
        self,
        example: Int[np.ndarray, " b"],
        image: UInt8[np.ndarray, "b h w c"],
        label: Int[np.ndarray, " b"],
        mask: Bool[np.ndarray, " b"],
        skipped: list[str],
    ) -> None:
        """Fills `image` and `label` one by one; an unreadable row becomes padding."""
        for row in np.flatnonzero(mask):
            try:
                image[row], label[row] = read_example(self.source, int(example[row]), self.transform, 0, 0)
            except Unreadable as error:
                skipped.append(f"{self.source.name(int(example[row]))}: {error}")
                example[row], mask[row] = -1, False
