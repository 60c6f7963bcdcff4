"""The seconds of a run add up over its phases."""

import time

from pipeline.training.runtime.phases import Phases


def test_the_first_phase_counts_from_when_set_up_began():
    phases = Phases(began=time.monotonic() - 5000)
    with phases("data"):
        pass
    assert 5000 <= phases.seconds["start"] < 10000 and phases.seconds["data"] < 1000


def test_an_inner_phase_stops_the_clock_of_the_outer_one(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    phases = Phases()
    phases.enter("step")
    with phases("evaluate"):
        now += 3
        with phases("save"):
            now += 2
        assert (phases.seconds["save"], phases.seconds["evaluate"]) == (2, 3)
        assert phases.current == "evaluate"
        now += 1
    phases.beat()
    assert (phases.seconds["evaluate"], phases.seconds["step"]) == (4, 0)
    assert phases.current == "step"
