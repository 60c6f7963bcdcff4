"""Tests of the formulas, and that the best checkpoint interval does lose the least."""

import math

import pytest

from pipeline.core.chips import Chip
from pipeline.planning import estimates

CHIP = Chip("x", bfloat16=100.0, float32=50.0, memory=10, memory_bandwidth=10.0, link_bandwidth=4.0)


def test_step_time_is_the_larger_of_compute_and_memory_plus_communication():
    step = estimates.step_time(
        CHIP, "bfloat16", flops=600.0, accessed_bytes=50.0, moved_bytes=2.0, utilisation=0.5
    )
    assert (step.compute, step.memory, step.communication) == (12.0, 5.0, 0.5)
    assert step.total == 12.5
    slow = estimates.step_time(
        CHIP, "float32", flops=600.0, accessed_bytes=500.0, moved_bytes=0.0, utilisation=0.5
    )
    assert (slow.compute, slow.total) == (24.0, 50.0)


def test_bytes_of_all_kinds_count():
    collectives = {
        "all-gather": {"count": 2, "bytes": 9, "moved_bytes": 5},
        "all-reduce": {"moved_bytes": 7},
    }
    assert estimates.moved_bytes(collectives) == 12


def test_youngs_formula():
    assert estimates.best_interval(10.0, 2.0) == math.sqrt(2 * 10 * 43_200)
    assert estimates.best_interval(10.0, 0.0) == math.inf


def test_lost_steps():
    # A million seconds, eight preemptions a day: 92.6 preemptions, 500 steps each.
    loss = estimates.lost_steps(
        num_steps=1_000_000, step_seconds=1.0, every=1000, preemptions_per_day=8.0, save_seconds=3.0
    )
    assert loss.redone == pytest.approx(8 * 1_000_000 / 86_400 * 500)
    assert loss.saving == 3000.0


def test_the_best_interval_loses_least():
    run = dict(num_steps=100_000, step_seconds=0.5, preemptions_per_day=4.0, save_seconds=2.0)
    best = round(estimates.best_interval(2.0, 4.0) / 0.5)
    losses = {
        every: estimates.lost_steps(**run, every=every).total
        for every in range(best // 2, 2 * best)
    }
    assert abs(min(losses, key=losses.__getitem__) - best) <= 1
