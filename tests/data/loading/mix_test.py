"""Kinds of examples take turns by their shares, as a pure function of the step."""

import pytest

from pipeline.data.loading.mix import CYCLE, Mix


def test_one_kind_has_every_turn():
    assert Mix(["a"]).turn(3, 10**12) == ("a", 10**12)


@pytest.mark.parametrize("shares", [(3, 1), (0.5, 0.25, 0.25), (1000, 1), (1, 0, 2)])
def test_shares_hold_in_each_cycle_and_turns_are_counted(shares):
    kinds = "abc"[: len(shares)]
    mix = Mix(kinds, shares)
    counts = dict.fromkeys(kinds, 0)
    for step in range(3 * CYCLE):
        kind, turn = mix.turn(7, step)
        assert turn == counts[kind]
        counts[kind] += 1
    for kind, share in zip(kinds, shares):
        if not share:
            assert counts[kind] == 0
        else:
            assert counts[kind] == pytest.approx(3 * max(1, CYCLE * share / sum(shares)), abs=3)


def test_the_order_differs_between_seeds_and_cycles():
    mix = Mix("ab", (1, 1))
    orders = [
        [mix.turn(seed, step)[0] for step in range(first, first + CYCLE)]
        for seed, first in ((0, 0), (1, 0), (0, CYCLE))
    ]
    assert orders[0] != orders[1] and orders[0] != orders[2]
    assert "".join(orders[0]) not in ("a" * 120 + "b" * 120, "ab" * 120)
