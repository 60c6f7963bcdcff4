"""Counter-based randomness: every draw is a pure function of (seed, stream, position).

A position is the place of an example in the endless training stream: k * batch_size + row for
batch k. Nothing else has an influence: neither the worker, nor the process, nor earlier draws.
"""

import numpy as np
from jaxtyping import Int, UInt64

# The purpose of a draw. The numbers are part of the stream: changing one changes every run.
ORDER, CROP_Y, CROP_X, FLIP, HELD_OUT, REPLACEMENT = range(6)
# From 1000 on, because attempts at a replacement use REPLACEMENT + attempt.
START, MIX, MOTION, NOISE, LABELLED, VALUES, CROP = range(1000, 1007)

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _scramble(word: int) -> int:
    """Apply the finaliser of SplitMix64 (Steele, Lea and Flood 2014) to one Python integer."""
    word &= _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def _scramble_all(word: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """Apply `_scramble` to each integer of an array."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def key_of(seed: int, *words: int) -> int:
    """Return 64 bits that depend on every one of the integers."""
    key = _scramble(seed + _GOLDEN)
    for word in words:
        key = _scramble(key ^ _scramble(word + _GOLDEN))
    return key


def draw(seed: int, stream: int, position: Int[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Return 64 random bits for each position: SplitMix64 keyed by (seed, stream)."""
    key = np.uint64(key_of(seed, stream))
    return _scramble_all(key + (position.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def spread(bits: UInt64[np.ndarray, " n"], count: int) -> UInt64[np.ndarray, "n count"]:
    """Return `count` words of 64 random bits for each word: SplitMix64 started at that word."""
    return _scramble_all(
        bits[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    )


def below(bits: int, limit: int) -> int:
    """Map 64 random bits to 0..limit-1 by their upper 32; `limit` is below 2**32."""
    return ((int(bits) >> 32) * limit) >> 32
