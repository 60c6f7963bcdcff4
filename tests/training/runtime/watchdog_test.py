"""A process without progress prints its stacks and ends; progress or compiling keeps it alive."""

import queue
import threading

import pytest

from pipeline.training.monitoring.goodput import Goodput
from pipeline.training.runtime.phases import Phases
from pipeline.training.runtime.watchdog import Watchdog


def watchdog(tmp_path, phases: Phases, *, minutes: float, leave) -> Watchdog:
    return Watchdog(
        phases, tmp_path, minutes=minutes, process=3, others=lambda: "others", leave=leave
    )


def test_silence_ends_the_process_with_stacks(tmp_path, capfd):
    phases = Phases()
    phases.enter("data")
    phases.beat(41)
    codes: queue.Queue[int] = queue.Queue()
    watching = watchdog(tmp_path, phases, minutes=0.1 / 60, leave=codes.put)
    assert codes.get(timeout=600) == 70
    watching.close()
    said = capfd.readouterr().err
    assert "process 3 on" in said and "in phase 'data' after step 41" in said and "others" in said
    stacks = (tmp_path / "hangs" / "process_3.txt").read_text()
    assert "watchdog_test.py" in stacks and "hung: " in stacks


@pytest.mark.parametrize("phase, silent_s", [("compile", 7200), ("start", 7200), ("step", 3000)])
def test_progress_and_compiling_are_left_alone(tmp_path, phase, silent_s, monkeypatch):
    phases, codes, waits = Phases(), [], iter([False, False, True])
    phases.enter(phase)
    phases.since -= silent_s
    watching = watchdog(tmp_path, phases, minutes=0, leave=codes.append)
    watching._minutes = 60
    monkeypatch.setattr(watching._stop, "wait", lambda seconds: next(waits))
    watching._watch()
    assert codes == []


def test_a_watchdog_of_no_minutes_is_none(tmp_path):
    before = threading.active_count()
    Watchdog(Phases(), tmp_path, minutes=0)
    assert threading.active_count() == before


def test_lost_steps_are_no_longer_useful_ones(tmp_path):
    phases = Phases()
    first = Goodput(tmp_path, phases)
    first.resumed(0)
    phases.seconds["step"] = 10.0
    assert first.report(20)["time_step"] > 0.9
    again = Phases()
    second = Goodput(tmp_path, again)
    second.resumed(10)
    again.seconds["step"] = 5.0
    report = second.report(20)
    seconds = second._total()
    assert seconds["lost"] == pytest.approx(5.0) and seconds["step"] == pytest.approx(10.0)
    assert report["goodput"] == pytest.approx(report["time_step"]) and 0.6 < report["goodput"] < 0.7
