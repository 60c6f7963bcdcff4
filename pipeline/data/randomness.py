"""Counter-based randomness: every draw is a pure function of (seed, stream, position).

A position is the place of an example in the endless training stream, k * batch_size + row for batch k.
Nothing else enters: not the worker, the process, nor what was drawn before.
"""

import functools

import numpy as np
from grain.experimental import index_shuffle
from jaxtyping import Int, UInt64

# What a draw is for. The numbers are part of the stream: changing one changes every run.
ORDER, CROP_Y, CROP_X, FLIP, HELD_OUT, REPLACEMENT = range(6)
START, MIX, MOTION, NOISE = range(
    1000, 1004
)  # beyond the numbers that attempts at a replacement add

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _scramble(word: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), on one Python integer."""
    word &= _MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def _scramble_all(word: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """`_scramble` of every one of NumPy's integers."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def key_of(seed: int, *words: int) -> int:
    """64 bits that depend on every one of the integers."""
    key = _scramble(seed + _GOLDEN)
    for word in words:
        key = _scramble(key ^ _scramble(word + _GOLDEN))
    return key


def draw(seed: int, stream: int, position: Int[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """64 random bits a position: SplitMix64 started at a key of (seed, stream), moved on by the position."""
    key = np.uint64(key_of(seed, stream))
    return _scramble_all(key + (position.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def spread(bits: UInt64[np.ndarray, " n"], count: int) -> UInt64[np.ndarray, "n count"]:
    """`count` words of 64 random bits from each word: SplitMix64 started at it."""
    return _scramble_all(
        bits[:, None] + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    )


def below(bits: int, limit: int) -> int:
    """Maps 64 random bits to 0..limit-1 by the upper 32 of them; `limit` is under 2**32."""
    return ((int(bits) >> 32) * limit) >> 32


def shuffled(seed: int, position: int, length: int) -> int:
    """The index at `position` of an endless stream that visits each of `length` examples once an epoch.

    Grain's index_shuffle is a keyed permutation computed at one point, so that nothing grows with the
    dataset.
    """
    epoch, place = divmod(position, length)
    return index_shuffle(place, max_index=length - 1, seed=_seed_of_epoch(seed, epoch), rounds=4)


@functools.lru_cache(maxsize=64)
def _seed_of_epoch(seed: int, epoch: int) -> int:
    return key_of(seed, ORDER, epoch) & 0xFFFFFFFF
