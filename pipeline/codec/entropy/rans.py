"""Asymmetric numeral systems (arXiv 1311.2540): integers of known distributions as bytes.

Integer k of a sequence belongs to state k mod LANES, so that NumPy codes so many at once. A state
is a number from 2^31 to 2^63; pushing an integer of frequency f multiplies it by about 2^24 / f.
The last integer is pushed first: reading goes forward.
"""

import itertools

import numpy as np
from jaxtyping import Int, Int64

from pipeline.codec.entropy.tables import PRECISION, Tables
from pipeline.core.errors import DataError

LANES = 16
_LEAST = np.uint64(1 << 31)
_P, _WORD = np.uint64(PRECISION), np.uint64(32)


def encode(tables: Tables, which: Int[np.ndarray, " n"], values: Int[np.ndarray, " n"]) -> bytes:
    """Return the bytes of integers; the distribution of each is a number of one of the tables.

    An integer that its table does not have is coded as an escape, and stored as 4 bytes.
    """
    places = tables.places(which, values)
    _, escaped = tables.values(which, places)
    frequencies, starts = tables.frequencies[places], tables.starts[places]
    state, groups = np.full(LANES, _LEAST), []
    for begin in reversed(range(0, len(values), LANES)):
        f, start = frequencies[begin : begin + LANES], starts[begin : begin + LANES]
        x = state[: len(f)]
        full = x >= f << np.uint64(63 - PRECISION)
        groups.append((x[full] & np.uint64(0xFFFFFFFF)).astype("<u4"))
        x = np.where(full, x >> _WORD, x)
        state[: len(f)] = (x // f << _P) + x % f + start
    words = np.concatenate([np.zeros(0, "<u4"), *reversed(groups)])
    parts = (state.astype("<u8"), words, values[escaped].astype("<i4"))
    sizes = np.array([len(words), int(escaped.sum())], "<u4")
    return b"".join(part.tobytes() for part in (sizes, *parts))


def decode(
    tables: Tables, which: Int[np.ndarray, " n"], data: bytes
) -> tuple[Int64[np.ndarray, " n"], bytes]:
    """Return the integers that `encode` wrote, and the bytes behind them.

    Raises:
      DataError: the bytes end too early, or are others.
    """
    state, words, escapes, rest = _parts(data)
    state, at, places = state.copy(), 0, np.empty(len(which), np.int64)
    mask = np.uint64((1 << PRECISION) - 1)
    for begin in range(0, len(which), LANES):
        chosen = which[begin : begin + LANES]
        x = state[: len(chosen)]
        place = tables.found(chosen, x & mask)
        places[begin : begin + LANES] = place
        x = tables.frequencies[place] * (x >> _P) + (x & mask) - tables.starts[place]
        few = x < _LEAST
        count = int(few.sum())
        if at + count > len(words):
            raise _damaged()
        x[few] = (x[few] << _WORD) | words[at : at + count]
        state[: len(chosen)], at = x, at + count
    values, escaped = tables.values(which, places)
    # Everything is used up, and the states are where writing began.
    if at != len(words) or int(escaped.sum()) != len(escapes) or (state != _LEAST).any():
        raise _damaged()
    values[escaped] = escapes
    return values, rest


def _parts(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, bytes]:
    if len(data) < 8:
        raise _damaged()
    num_words, num_escapes = map(int, np.frombuffer(data, "<u4", 2))
    sizes = (8 * LANES, 4 * num_words, 4 * num_escapes)
    if len(data) < 8 + sum(sizes):
        raise _damaged()
    ends = np.cumsum([8, *sizes])
    cut = [data[begin:end] for begin, end in itertools.pairwise(ends)]
    state, words = np.frombuffer(cut[0], "<u8"), np.frombuffer(cut[1], "<u4").astype(np.uint64)
    return state, words, np.frombuffer(cut[2], "<i4"), data[ends[-1] :]


def _damaged() -> DataError:
    return DataError("the compressed bytes are damaged, or another codec's")
