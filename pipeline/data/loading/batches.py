"""Batch k as a pure function of (seed, k), evaluated by Grain's threads and worker processes."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped, UInt64

from pipeline.core.errors import DataError
from pipeline.core.modalities import MODALITIES
from pipeline.data import randomness
from pipeline.data.loading.mix import Mix
from pipeline.data.shuffle import shuffled
from pipeline.data.unreadable import Budget, Unreadable, few, file_of

# Consecutive unreadable replacements before a run stops: far more than chance in a usable dataset.
_ATTEMPTS = 200
_EVALUATION_SEED = 0
_CROPS_SEED = 0  # of fixed crops, which are the same in every run


class Loaded(NamedTuple):
    """A batch (pipeline.core.types.Batch), and (file, "name: reason") of each one skipped for it.

    It is a tuple, so that Grain finds the arrays and transfers them in shared memory: with a pipe,
    a reader would wait for ever for the rest of a batch whose worker was killed.
    """

    batch: dict[str, np.ndarray]
    skipped: tuple[tuple[str, str], ...]


class Draws(NamedTuple):
    """64 random bits each for the position of a crop, and for the start of a clip in its video."""

    y: int = 0
    x: int = 0
    start: int = 0


@runtime_checkable
class Examples(Protocol):
    """Examples that all have one shape. Reading is thread-safe, and they can be pickled.

    Attributes:
      key: their modality (pipeline.core.modalities), which is their key in a batch and decides the
        type of their values. "Pixels" below are the values of any modality.
      shape: shape of one example.
    """

    @property
    def key(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def gather(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[Shaped[np.ndarray, "n ..."], Int32[np.ndarray, " n"]] | None:
        """Return pixels and labels of several examples at once if that is faster, otherwise None.

        It also returns None if one of them is unreadable.
        """
        ...

    def read(self, index: int, draws: Draws) -> tuple[Shaped[np.ndarray, "..."], int]:
        """Return pixels and label of one example. Raises Unreadable."""
        ...

    def finish(
        self,
        pixels: Shaped[np.ndarray, "b ..."],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> Shaped[np.ndarray, "b ..."]:
        """Finish a whole batch in place, for example mirror the examples that were drawn for it.

        `noise` is 64 random bits per example.
        """
        ...

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """Return positions in the dataset, for a batch's "index"; -1 stays -1."""
        ...

    def name(self, index: int) -> str:
        """Return the name of one example for messages."""
        ...


def dtype_of(examples: Examples) -> np.dtype:
    """Return the type of the values of examples in a batch."""
    return np.dtype(MODALITIES[examples.key].dtype)


class TrainingBatches:
    """Random access to the endless stream of training batches: item i is batch k = start_step + i.

    All examples of a batch have the kind whose turn it is. In the m-th batch of that kind, `row`
    has example shuffled(seed, m * batch_size + row); its crop, start, flip and noise are drawn at
    position p = k * batch_size + row. An unreadable example is replaced by one drawn at (p,
    attempt). This process reads `rows`.

    With `num_crops` above 0 each example has that many fixed crops, starts and flips, and p draws
    which of them is shown: "crop" in the batch. Crop c of the example at place i of the dataset is
    drawn at i * num_crops + c, in every run alike.
    """

    def __init__(
        self,
        mix: Mix[Examples],
        *,
        batch_size: int,
        rows: Int[np.ndarray, " b"],
        seed: int,
        start_step: int,
        max_unreadable: int,
        what: str,
        num_crops: int = 0,
    ):
        self.mix, self.seed, self.max_unreadable, self.what = mix, seed, max_unreadable, what
        self.batch_size, self.rows, self.start_step = batch_size, rows, start_step
        self.num_crops = num_crops

    def __len__(self) -> int:
        return 1 << 48  # Grain needs a length; no run is that long

    def __getitem__(self, index: int) -> Loaded:
        step = self.start_step + int(index)
        examples, turn = self.mix.turn(self.seed, step)
        position = step * self.batch_size + self.rows
        order = turn * self.batch_size + self.rows
        length = len(examples)
        example = np.array([shuffled(self.seed, p, length) for p in order.tolist()], np.int32)
        skipped = Budget(self.max_unreadable, self.what)
        pixels, label = examples.gather(example) or self._read(examples, position, example, skipped)
        seed, drawn_at = self._drawn_at(examples, position, example)
        batch = {
            examples.key: _finished(examples, pixels, seed, drawn_at),
            "label": label,
            "index": examples.places(example),
            "mask": np.ones(len(example), np.float32),
        }
        if self.num_crops:
            batch["crop"] = self._crops(position)
        return Loaded(batch, tuple(skipped.found.items()))

    def _crops(self, position: Int[np.ndarray, " b"]) -> Int32[np.ndarray, " b"]:
        bits = randomness.draw(self.seed, randomness.CROP, position).tolist()
        return np.array([randomness.below(each, self.num_crops) for each in bits], np.int32)

    def _drawn_at(
        self,
        examples: Examples,
        position: Int[np.ndarray, " b"],
        example: Int[np.ndarray, " b"],
    ) -> tuple[int, Int[np.ndarray, " b"]]:
        """Return the seed and the positions at which crops and flips of a batch are drawn."""
        if not self.num_crops:
            return self.seed, position
        slots = examples.places(example).astype(np.int64) * self.num_crops
        return _CROPS_SEED, slots + self._crops(position)

    def _read(
        self,
        examples: Examples,
        position: Int[np.ndarray, " b"],
        example: Int[np.ndarray, " b"],
        skipped: Budget,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read pixels and labels one by one; updates `example` where one had to be replaced."""
        pixels = np.empty((len(example), *examples.shape), dtype_of(examples))
        label = np.empty(len(example), np.int32)
        draws = _draws(*self._drawn_at(examples, position, example))
        for row, drawn in enumerate(draws):
            for attempt in range(_ATTEMPTS):
                try:
                    pixels[row], label[row] = examples.read(int(example[row]), drawn)
                    break
                except Unreadable as error:
                    _count(skipped, examples, int(example[row]), error)
                    stream = randomness.REPLACEMENT + attempt
                    bits = randomness.draw(self.seed, stream, position[row : row + 1])[0]
                    example[row] = randomness.below(int(bits), len(examples))
                    one = slice(row, row + 1)
                    (drawn,) = _draws(*self._drawn_at(examples, position[one], example[one]))
            else:
                raise DataError(
                    f"none of {_ATTEMPTS} {self.what} drawn in a row can be used: "
                    f"{few(skipped.found.values())}"
                )
        return pixels, label


class EvaluationBatches:
    """Random access to batches of the first examples of each part, in one fixed random order.

    `parts` are (examples, number of them to use); a batch comes from one part. The last batch of a
    part is padded with zeros, mask 0 and index -1. An unreadable example is counted and becomes
    padding.
    """

    def __init__(
        self, parts: Sequence[tuple[Examples, int]], *, batch_size: int, rows: Int[np.ndarray, " b"]
    ):
        self.parts, self.batch_size, self.rows = parts, batch_size, rows
        self._ends = np.cumsum([-(-count // batch_size) for _, count in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Loaded:
        part = int(np.searchsorted(self._ends, index, side="right"))
        examples, count = self.parts[part]
        first = (int(index) - (int(self._ends[part - 1]) if part else 0)) * self.batch_size
        position = first + self.rows
        mask = position < count
        length = len(examples)
        example = np.full(len(position), -1, np.int32)
        example[mask] = [shuffled(_EVALUATION_SEED, p, length) for p in position[mask].tolist()]
        pixels = np.zeros((len(example), *examples.shape), dtype_of(examples))
        label = np.full(len(example), -1, np.int32)
        skipped = Budget(len(example), "")
        loaded = examples.gather(example[mask])
        if loaded:
            pixels[mask], label[mask] = loaded
        else:
            _fill(examples, example, pixels, label, mask, skipped)
        # Drawn by example and not by its place, so that all evaluations see the same pixels.
        noise = randomness.draw(_EVALUATION_SEED, randomness.NOISE, example)
        pixels = examples.finish(pixels, np.zeros(len(example), bool), noise)
        mask = mask.astype(np.float32)
        batch = {
            examples.key: pixels,
            "label": label,
            "index": examples.places(example),
            "mask": mask,
        }
        return Loaded(batch, tuple(skipped.found.items()))


class CropBatches:
    """Random access to batches of the fixed crops of all examples, in the order of their slots.

    Crop c of the example at place i has the slot i * num_crops + c. A batch holds `batch_size`
    slots; the last one is padded with mask 0. An unreadable example is padding too.
    """

    def __init__(self, examples: Examples, *, batch_size: int, num_crops: int):
        self.examples, self.batch_size, self.num_crops = examples, batch_size, num_crops

    @property
    def num_slots(self) -> int:
        """Number of crops of all examples."""
        return len(self.examples) * self.num_crops

    def __len__(self) -> int:
        return -(-self.num_slots // self.batch_size)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        slots = np.arange(self.batch_size) + int(index) * self.batch_size
        mask = (slots < self.num_slots).astype(np.float32)
        examples = self.examples
        pixels = np.zeros((self.batch_size, *examples.shape), dtype_of(examples))
        for row, drawn in enumerate(_draws(_CROPS_SEED, slots)):
            if not mask[row]:
                continue
            try:
                pixels[row] = examples.read(int(slots[row]) // self.num_crops, drawn)[0]
            except Unreadable:
                mask[row] = 0
        return {examples.key: _finished(examples, pixels, _CROPS_SEED, slots), "mask": mask}


def _draws(seed: int, position: Int[np.ndarray, " b"]) -> list[Draws]:
    streams = (randomness.CROP_Y, randomness.CROP_X, randomness.START)
    bits = [randomness.draw(seed, stream, position).tolist() for stream in streams]
    return [Draws(*row) for row in zip(*bits, strict=True)]


def _finished(
    examples: Examples,
    pixels: Shaped[np.ndarray, "b ..."],
    seed: int,
    position: Int[np.ndarray, " b"],
) -> Shaped[np.ndarray, "b ..."]:
    mirrored = (randomness.draw(seed, randomness.FLIP, position) >> np.uint64(63)).astype(bool)
    return examples.finish(pixels, mirrored, randomness.draw(seed, randomness.NOISE, position))


def _fill(
    examples: Examples,
    example: Int[np.ndarray, " b"],
    pixels: Shaped[np.ndarray, "b ..."],
    label: Int[np.ndarray, " b"],
    mask: Bool[np.ndarray, " b"],
    skipped: Budget,
) -> None:
    """Fill `pixels` and `label` one by one; an unreadable row becomes padding."""
    for row in np.flatnonzero(mask):
        try:
            pixels[row], label[row] = examples.read(int(example[row]), Draws())
        except Unreadable as error:
            _count(skipped, examples, int(example[row]), error)
            example[row], mask[row] = -1, False


def _count(skipped: Budget, examples: Examples, index: int, error: Unreadable) -> None:
    try:
        skipped.add(file_of(examples, index), f"{examples.name(index)}: {error}")
    except DataError as too_many:
        raise too_many from None
