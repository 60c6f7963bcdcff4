"""The search of a choice that fits, with needs that are made up."""

import math

import pytest

from pipeline.codec.memory.choice import TooSmall, first_that_fits
from pipeline.codec.memory.curve import Curve


class Learning:
    """Measures needs, and estimates those of other sizes from them."""

    def __init__(self, need):
        self._need, self._curve, self.measured = need, Curve(), []
        self._curve.add(1, need(1))

    def measure(self, size):
        self.measured.append(size)
        self._curve.add(size, self._need(size))
        return self._need(size)

    def estimate(self, size):
        return self._curve.at(size)


def found(need, budget, sizes=range(1000, 3, -1)):
    learning = Learning(need)
    chosen = first_that_fits(sizes, budget, measure=learning.measure, estimate=learning.estimate)
    return *chosen, learning.measured


def test_a_need_that_grows_with_size_takes_one_measurement():
    size, need, measured = found(lambda size: 3 * size, 1000)
    assert (size, need, measured) == (333, 999, [333])


@pytest.mark.parametrize(
    "need",
    [
        lambda size: 500 + 3 * size,  # affine
        lambda size: size + size**2 / 50,  # with full attention
        lambda size: 100 * math.sqrt(size) + 2 * size,
    ],
)
@pytest.mark.parametrize("budget", [700, 1500, 2400])
def test_a_few_measurements_find_nearly_the_largest(need, budget):
    size, peak, measured = found(need, budget)
    best = max(size for size in range(4, 1001) if need(size) <= budget)
    assert peak == need(size) <= budget
    assert len(measured) <= 8 and len(set(measured)) == len(measured)
    assert size >= 0.9 * best


def test_the_best_choice_is_taken_at_once_if_it_fits():
    size, _, measured = found(lambda size: 3 * size, 5000)
    assert size == 1000 and measured == [1000]


def test_if_nothing_fits_the_smallest_need_is_known():
    with pytest.raises(TooSmall) as caught:
        found(lambda size: 100 + size, 50, sizes=range(64, 3, -4))
    assert (caught.value.need, caught.value.choice) == (104, 4)


def test_what_the_compiler_cannot_take_does_not_fit():
    needs = {3: math.inf, 2: 20.0, 1: 10.0}
    assert first_that_fits([3, 2, 1], 30, measure=needs.__getitem__, estimate=lambda _: 0.0) == (
        2,
        20.0,
    )


def test_a_curve_goes_through_its_points_and_beyond():
    curve = Curve()
    curve.add(10, 100)
    assert curve.at(20) == 200 and curve.at(5) == 50
    curve.add(20, 150)
    assert [curve.at(size) for size in (5, 10, 14, 20, 40)] == [75, 100, 120, 150, 250]
    curve.add(40, 350)
    assert curve.at(30) == 250 and curve.at(50) == 450 and curve.at(14) == 120
    curve.add(40, 370)
    assert curve.at(40) == 370
