"""Integers come back from their bytes, whose number is their entropy's."""

import numpy as np
import pytest

from pipeline.codec.entropy import rans
from pipeline.codec.entropy.tables import PRECISION, Tables
from pipeline.core.errors import DataError

RANDOM = np.random.default_rng(0)


def normal(scale, reach):
    x = np.arange(-reach, reach + 1)
    mass = np.exp(-(x**2) / (2 * scale**2))
    return 0.999 * mass / mass.sum()


TABLES = Tables([normal(0.2, 2), normal(2.0, 12), normal(40.0, 250)])


def test_frequencies_are_whole_and_add_up():
    for first, reach in zip(TABLES.first, TABLES.reach, strict=True):
        found = TABLES.frequencies[first : first + 2 * reach + 2]
        assert found.min() >= 1 and found.sum() == 1 << PRECISION


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40_001])
def test_integers_come_back_with_escapes(count):
    which = RANDOM.integers(0, 3, count)
    values = np.round(np.array([0.2, 2.0, 40.0])[which] * RANDOM.normal(size=count))
    values = values.astype(np.int64)
    values[::97] = 5_000  # which no table has
    data = rans.encode(TABLES, which, values)
    found, rest = rans.decode(TABLES, which, data + b"more")
    np.testing.assert_array_equal(found, values)
    assert rest == b"more"


def test_the_length_is_the_entropy():
    which = RANDOM.integers(0, 3, 50_000)
    values = np.round(np.array([0.2, 2.0, 40.0])[which] * RANDOM.normal(size=len(which)))
    values = values.astype(np.int64)
    shares = TABLES.frequencies[TABLES.places(which, values)] / 2.0**PRECISION
    bits = -np.log2(shares).sum()
    assert bits < 8 * len(rans.encode(TABLES, which, values)) < 1.002 * bits + 64 * rans.LANES


def test_damaged_bytes_are_refused():
    which = RANDOM.integers(0, 3, 500)
    data = rans.encode(TABLES, which, RANDOM.integers(-2, 3, 500))
    changed = bytearray(data)
    changed[150] ^= 64
    for wrong in (b"", data[:-1], data[:100], bytes(changed)):
        with pytest.raises(DataError, match="damaged"):
            rans.decode(TABLES, which, wrong)
