"""Search the first of some choices whose need fits a budget, with few exact measurements."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
MOST = 8  # exact measurements, each of which compiles a program


class TooSmall(Exception):
    """No choice fits. `need` is the smallest that is known, `choice` what needs it."""

    def __init__(self, need: int | float, choice: object):
        super().__init__(need, choice)
        self.need, self.choice = need, choice


def first_that_fits(
    choices: Sequence[T],
    budget: int | float,
    *,
    measure: Callable[[T], int | float],
    estimate: Callable[[T], int | float],
    most: int = MOST,
) -> tuple[T, int | float]:
    """Return the first choice that needs at most `budget`, and what it needs.

    `measure` gives the exact need, and is called at most once for a choice, and `most` times in
    all; `estimate` gives a cheap one, which gets better with each measurement. What is returned was
    measured. A choice before it that would fit too may be missed where estimates are too high.

    Raises:
      TooSmall: none fits. The one with the smallest estimate was measured.
    """
    known: dict[T, int | float] = {}

    def need(choice: T) -> int | float:
        return known[choice] if choice in known else estimate(choice)

    while len(known) < most:
        chosen = next((each for each in choices if need(each) <= budget), None)
        chosen = min(choices, key=need) if chosen is None else chosen
        if chosen in known:
            break
        known[chosen] = measure(chosen)
    fitting = [each for each in choices if known.get(each, budget + 1) <= budget]
    if fitting:
        return fitting[0], known[fitting[0]]
    smallest = min(known, key=known.__getitem__)
    raise TooSmall(known[smallest], smallest)
