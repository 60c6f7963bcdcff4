"""Distributions of integers as whole frequencies, which encoder and decoder have alike."""

import numpy as np
from jaxtyping import Float, Int, Int64, Shaped, UInt64

PRECISION = 24  # bits: the frequencies of a table add up to 2^24


class Tables:
    """Distributions of the integers from -reach to reach, and of an escape for all others.

    Args:
      masses: for each table the probabilities [2 reach + 1] of its integers. What is missing to 1,
        and at least 2^-24, is the escape's.
    """

    def __init__(self, masses: list[Float[np.ndarray, " n"]]):
        frequencies = [_whole(np.append(mass, max(0.0, 1 - mass.sum()))) for mass in masses]
        sizes = np.array([len(each) for each in frequencies], np.int64)
        self.reach: Int64[np.ndarray, " t"] = (sizes - 2) // 2
        self.first: Int64[np.ndarray, " t"] = np.cumsum(sizes) - sizes  # place of each table
        self.frequencies: UInt64[np.ndarray, " n"] = np.concatenate(frequencies)
        starts = [np.cumsum(each, dtype=np.uint64) - each for each in frequencies]
        self.starts: UInt64[np.ndarray, " n"] = np.concatenate(starts)
        # The starts of all tables on one line, so that one search finds the symbol of any table.
        tables = np.repeat(np.arange(len(masses), dtype=np.uint64), sizes)
        self._line = self.starts + (tables << np.uint64(PRECISION))

    def places(
        self, which: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """Return where `frequencies` and `starts` have integers of tables `which`."""
        reach = self.reach[which]
        inside = np.abs(values) <= reach
        return self.first[which] + np.where(inside, values + reach, 2 * reach + 1)

    def found(
        self, which: Int[np.ndarray, " n"], slots: UInt64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """Return the places of the symbols that hold the slots, numbers below 2^24."""
        line = slots + (which.astype(np.uint64) << np.uint64(PRECISION))
        return np.searchsorted(self._line, line, side="right") - 1

    def values(
        self, which: Int[np.ndarray, " n"], places: Int64[np.ndarray, " n"]
    ) -> tuple[Int64[np.ndarray, " n"], Shaped[np.ndarray, " n"]]:
        """Return the integers at places, and which of them are escapes."""
        offset, reach = places - self.first[which], self.reach[which]
        return offset - reach, offset == 2 * reach + 1


def _whole(mass: Float[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return frequencies of at least 1 that add up to 2^PRECISION."""
    total = 1 << PRECISION
    share = np.maximum(mass, 0) / max(mass.sum(), 1e-30)
    found = 1 + np.floor(share * (total - len(mass))).astype(np.int64)
    found[share.argmax()] += total - found.sum()
    return found.astype(np.uint64)
