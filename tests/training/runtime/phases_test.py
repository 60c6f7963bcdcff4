"""The seconds of a run add up over its phases."""

import time

from pipeline.training.runtime.phases import Phases


def test_the_first_phase_counts_from_when_set_up_began():
    phases = Phases(began=time.monotonic() - 5)
    with phases("data"):
        pass
    assert 5 <= phases.seconds["start"] < 10 and phases.seconds["data"] < 1


def test_an_inner_phase_stops_the_clock_of_the_outer_one():
    phases = Phases()
    with phases("evaluate"):
        before = phases.seconds["evaluate"]
        with phases("save"):
            time.sleep(0.05)
        assert phases.seconds["save"] >= 0.05 > phases.seconds["evaluate"] - before
        assert phases.current == "evaluate"
