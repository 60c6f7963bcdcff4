"""The kind of examples in batch k, by shares; a pure function of (seed, k)."""

import functools
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from pipeline.data import randomness

# Batches in a cycle, in which shares are exact to one batch; it has many divisors.
CYCLE = 240
Kind = TypeVar("Kind")


class Mix(Generic[Kind]):
    """Kinds of examples that take turns by their shares, in a random order for each cycle.

    Every kind with a share gets at least one batch of CYCLE. The number of earlier batches of a
    kind is computed from k, not remembered, so that each kind goes through its own epochs wherever
    a run starts.
    """

    def __init__(self, kinds: Sequence[Kind], shares: Sequence[float | int] = (1,)):
        self.kinds = tuple(kinds)
        self._counts = _whole_shares(tuple(float(share) for share in shares))

    def turn(self, seed: int, step: int) -> tuple[Kind, int]:
        """Return the kind of batch `step`, and the number of earlier batches of that kind."""
        if len(self.kinds) == 1:
            return self.kinds[0], step
        cycle, place = divmod(step, CYCLE)
        order = _order(self._counts, seed, cycle)
        kind = int(order[place])
        return self.kinds[kind], cycle * self._counts[kind] + int((order[:place] == kind).sum())


def _whole_shares(shares: tuple[float, ...]) -> tuple[int, ...]:
    """Round shares to batches of a CYCLE by largest remainders; at least 1 for a share above 0."""
    wanted = np.array(shares) / sum(shares) * CYCLE
    counts = np.maximum(np.floor(wanted), wanted > 0).astype(int)
    while counts.sum() != CYCLE:
        step = 1 if counts.sum() < CYCLE else -1
        gap = (wanted - counts) * step
        gap[(counts + step < 1) | (wanted == 0)] = -np.inf
        counts[int(gap.argmax())] += step
    return tuple(counts.tolist())


@functools.lru_cache(maxsize=256)
def _order(counts: tuple[int, ...], seed: int, cycle: int) -> np.ndarray:
    from grain.experimental import index_shuffle  # slow, and not needed to check settings

    key = randomness.key_of(seed, randomness.MIX, cycle) & 0xFFFFFFFF
    kinds = np.repeat(np.arange(len(counts)), counts)
    return kinds[
        [index_shuffle(place, max_index=CYCLE - 1, seed=key, rounds=4) for place in range(CYCLE)]
    ]
