"""The search for the longest clip: it finds the edge wherever it is, and asks seldom."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
import longest_clip


def searched(longest: int, **settings) -> tuple[int | None, int | None, list[int]]:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= longest

    return *longest_clip.search(fits, **settings), asked


@pytest.mark.parametrize("start", [1, 8, 100])
def test_the_edge_is_found_wherever_it_is(start):
    for longest in range(101):
        good, bad, asked = searched(longest, start=start, most=100)
        assert good == (longest or None) and bad == (None if longest == 100 else longest + 1)
        assert len(set(asked)) == len(asked) <= 14 and all(1 <= number <= 100 for number in asked)


def test_it_stops_where_the_ends_are_near_enough():
    good, bad, asked = searched(310, start=8, most=1024, within=16)
    assert good is not None and bad is not None
    assert good <= 310 < bad and bad - good <= 16 and asked[:4] == [8, 16, 32, 64]
    assert len(asked) < len(searched(310, start=8, most=1024)[2])
