"""Tests that the search for the longest clip finds the edge in few compilations."""

import longest_clip
import pytest


def searched(
    longest: int, curve: float = 1.0, untold: float = 1e9, **settings
) -> tuple[int | None, int | None, list[int]]:
    asked: list[int] = []

    def share(number: int) -> float | None:
        asked.append(number)
        need = (
            number / (longest + 0.5)
        ) ** curve  # the edge lies halfway between `longest` and the next
        return need if need < untold else None

    return *longest_clip.search(share, **settings), asked


@pytest.mark.parametrize("start", [1, 8, 100])
@pytest.mark.parametrize("curve", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("untold", [1.0, 1.2, 1e9])
def test_the_edge_is_found_wherever_it_is(start, curve, untold):
    for longest in range(101):
        good, bad, asked = searched(longest, curve, untold, start=start, most=100)
        assert good == (longest or None) and bad == (None if longest == 100 else longest + 1)
        assert len(set(asked)) == len(asked) <= 14 and all(1 <= number <= 100 for number in asked)


def test_memory_that_grows_evenly_is_followed_to_the_edge():
    good, bad, asked = searched(310, start=8, most=1024)
    assert (good, bad) == (310, 311) and len(asked) <= 4


def test_it_stops_where_the_ends_are_near_enough():
    good, bad, asked = searched(310, 2.0, start=8, most=1024, within=16)
    assert good is not None and bad is not None
    assert good <= 310 < bad and bad - good <= 16
    assert len(asked) < len(searched(310, 2.0, start=8, most=1024)[2])
