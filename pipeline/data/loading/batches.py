"""Batch k as a pure function of (seed, k): what Grain's threads and worker processes compute."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8, UInt64

from pipeline.core.errors import DataError
from pipeline.data import randomness
from pipeline.data.loading.mix import Mix
from pipeline.data.shuffle import shuffled
from pipeline.data.unreadable import Unreadable

# Unreadable replacements in a row before a run gives up: far more than chance brings in a usable dataset.
_ATTEMPTS = 200
_EVALUATION_SEED = 0


class Loaded(NamedTuple):
    """A batch (pipeline.core.types.Batch) and what could not be read on the way: "name: reason".

    A tuple, so that Grain sees the arrays in it and hands them over in shared memory: in a pipe, the half of
    a batch that a killed worker wrote would let its reader wait for ever.
    """

    batch: dict[str, np.ndarray]
    skipped: tuple[str, ...]


class Draws(NamedTuple):
    """64 random bits each: where an example is cropped, and where in a video its clip starts."""

    y: int = 0
    x: int = 0
    start: int = 0


@runtime_checkable
class Examples(Protocol):
    """Examples that all become pixels of one shape; reading is thread-safe, and they pickle.

    Attributes:
      key: what a batch calls their pixels: "image" or "video".
      shape: that of one example's pixels.
    """

    @property
    def key(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def gather(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[UInt8[np.ndarray, "n ..."], Int32[np.ndarray, " n"]] | None:
        """Pixels and labels of several at once, where that is quicker; else None, also where one is unreadable."""
        ...

    def read(self, index: int, draws: Draws) -> tuple[UInt8[np.ndarray, "..."], int]:
        """Pixels and label of one. Raises Unreadable."""
        ...

    def finish(
        self,
        pixels: UInt8[np.ndarray, "b ..."],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b ..."]:
        """What is done to a whole batch, such as mirroring those that were drawn for it; in place.

        `noise` is 64 random bits an example.
        """
        ...

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """Positions in the dataset, for a batch's "index"; -1 stays."""
        ...

    def name(self, index: int) -> str:
        """What to call one in a message."""
        ...


def over_budget(skipped: list[str], budget: int, what: str = "images") -> DataError:
    """The error for more unreadable images than data.max_unreadable allows; names up to three."""
    shown = "; ".join(skipped[:3]) + (f"; and {len(skipped) - 3} more" if len(skipped) > 3 else "")
    return DataError(
        f"{len(skipped)} unreadable {what}, more than data.max_unreadable={budget}: {shown}"
    )


class TrainingBatches:
    """Random access to the endless stream of training batches: number i is batch k = start_step + i.

    All of a batch are of the one kind of examples whose turn it is. Where it is the m-th batch of that kind, its row
    shows example shuffled(seed, m * batch_size + row), cropped, cut, flipped and given noise by draws at position
    p = k * batch_size + row. An unreadable example is replaced by another one drawn at (p, attempt). `rows` are
    those that this process reads.
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
    ):
        self.mix, self.seed, self.max_unreadable, self.what = mix, seed, max_unreadable, what
        self.batch_size, self.rows, self.start_step = batch_size, rows, start_step

    def __len__(self) -> int:
        return 1 << 48  # Grain wants a length; no run is as long

    def __getitem__(self, index: int) -> Loaded:
        step = self.start_step + int(index)
        examples, turn = self.mix.turn(self.seed, step)
        position = step * self.batch_size + self.rows
        order = turn * self.batch_size + self.rows
        length = len(examples)
        example = np.array([shuffled(self.seed, p, length) for p in order.tolist()], np.int32)
        skipped: list[str] = []
        pixels, label = examples.gather(example) or self._read(examples, position, example, skipped)
        mirrored = (randomness.draw(self.seed, randomness.FLIP, position) >> np.uint64(63)).astype(
            bool
        )
        pixels = examples.finish(
            pixels, mirrored, randomness.draw(self.seed, randomness.NOISE, position)
        )
        mask = np.ones(len(example), np.float32)
        batch = {
            examples.key: pixels,
            "label": label,
            "index": examples.places(example),
            "mask": mask,
        }
        return Loaded(batch, tuple(skipped))

    def _read(
        self,
        examples: Examples,
        position: Int[np.ndarray, " b"],
        example: Int[np.ndarray, " b"],
        skipped: list[str],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels one by one; corrects `example` where an example had to be replaced."""
        pixels = np.empty((len(example), *examples.shape), np.uint8)
        label = np.empty(len(example), np.int32)
        streams = (randomness.CROP_Y, randomness.CROP_X, randomness.START)
        draws = [randomness.draw(self.seed, stream, position).tolist() for stream in streams]
        for row in range(len(example)):
            drawn = Draws(*(bits[row] for bits in draws))
            for attempt in range(_ATTEMPTS):
                try:
                    pixels[row], label[row] = examples.read(int(example[row]), drawn)
                    break
                except Unreadable as error:
                    message = f"{examples.name(int(example[row]))}: {error}"
                    if message not in skipped:
                        skipped.append(message)
                    if len(skipped) > self.max_unreadable:
                        raise over_budget(skipped, self.max_unreadable, self.what) from None
                    stream = randomness.REPLACEMENT + attempt
                    bits = randomness.draw(self.seed, stream, position[row : row + 1])[0]
                    example[row] = randomness.below(int(bits), len(examples))
            else:
                raise over_budget(skipped, self.max_unreadable, self.what)
        return pixels, label


class EvaluationBatches:
    """Random access to the batches that show the first examples of each part once, in one fixed random order.

    `parts` are (examples, how many of them); a batch is of one part. A part's last batch is padded with zeros, mask 0
    and index -1. So is an unreadable example: it is counted, not replaced.
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
        pixels = np.zeros((len(example), *examples.shape), np.uint8)
        label = np.full(len(example), -1, np.int32)
        skipped: list[str] = []
        loaded = examples.gather(example[mask])
        if loaded:
            pixels[mask], label[mask] = loaded
        else:
            _fill(examples, example, pixels, label, mask, skipped)
        # Of the example and not of its place in this evaluation, so that all evaluations see the same pixels.
        noise = randomness.draw(_EVALUATION_SEED, randomness.NOISE, example)
        pixels = examples.finish(pixels, np.zeros(len(example), bool), noise)
        mask = mask.astype(np.float32)
        batch = {
            examples.key: pixels,
            "label": label,
            "index": examples.places(example),
            "mask": mask,
        }
        return Loaded(batch, tuple(skipped))


def _fill(
    examples: Examples,
    example: Int[np.ndarray, " b"],
    pixels: UInt8[np.ndarray, "b ..."],
    label: Int[np.ndarray, " b"],
    mask: Bool[np.ndarray, " b"],
    skipped: list[str],
) -> None:
    """Fills `pixels` and `label` one by one; an unreadable row becomes padding."""
    for row in np.flatnonzero(mask):
        try:
            pixels[row], label[row] = examples.read(int(example[row]), Draws())
        except Unreadable as error:
            skipped.append(f"{examples.name(int(example[row]))}: {error}")
            example[row], mask[row] = -1, False
