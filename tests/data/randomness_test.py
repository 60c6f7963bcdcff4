"""Counter-based draws are pure and uniform, and orders are permutations."""

import numpy as np
import pytest

from pipeline.data import randomness
from pipeline.data.shuffle import shuffled


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_each_epoch_visits_every_example_once_in_another_order(length):
    epochs = [[shuffled(3, e * length + i, length) for i in range(length)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(length))
    if length == 1000:
        assert epochs[0] != epochs[1] != epochs[2]
        # Epoch 1 of a seed must not be epoch 0 of the next one.
        assert epochs[1] != [shuffled(4, i, length) for i in range(length)]


def test_draws_depend_on_seed_stream_and_position_alone():
    position = np.arange(1000)
    bits = randomness.draw(1, randomness.FLIP, position)
    np.testing.assert_array_equal(bits[500:], randomness.draw(1, randomness.FLIP, position[500:]))
    assert len(np.unique(bits)) == 1000
    assert not (bits == randomness.draw(2, randomness.FLIP, position)).any()
    assert not (bits == randomness.draw(1, randomness.CROP_X, position)).any()


def test_draws_are_uniform():
    bits = randomness.draw(0, randomness.CROP_Y, np.arange(60_000))
    counts = np.bincount([randomness.below(one, 6) for one in bits.tolist()], minlength=6)
    assert counts.sum() == 60_000
    assert np.abs(counts - 10_000).max() < 500  # 5 standard deviations
    assert abs(int((bits >> np.uint64(63)).sum()) - 30_000) < 620


def test_positions_far_into_a_run_work():
    position = 10**15
    assert 0 <= shuffled(0, position, 12_345) < 12_345
    assert randomness.draw(0, 0, np.array([position])).dtype == np.uint64
