"""A process without progress prints its stacks and ends; progress or compiling keeps it alive."""

import threading
import time

import pytest

from pipeline.training.monitoring.goodput import Goodput
from pipeline.training.runtime.phases import Phases
from pipeline.training.runtime.watchdog import Watchdog


def bark(tmp_path, phases: Phases, *, seconds: float, beats: bool = False) -> list[int]:
    codes: list[int] = []
    watchdog = Watchdog(
        phases, tmp_path, minutes=0.3 / 60, process=3, others=lambda: "others", leave=codes.append
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if beats:
            phases.beat()
        time.sleep(0.02)
    watchdog.close()
    return codes


def test_silence_ends_the_process_with_stacks(tmp_path, capfd):
    phases = Phases()
    phases.enter("data")
    phases.beat(41)
    assert bark(tmp_path, phases, seconds=1.0) == [70]
    said = capfd.readouterr().err
    assert "process 3 on" in said and "in phase 'data' after step 41" in said and "others" in said
    stacks = (tmp_path / "hangs" / "process_3.txt").read_text()
    assert "watchdog_test.py" in stacks and "hung: " in stacks


@pytest.mark.parametrize("phase, beats", [("compile", False), ("start", False), ("step", True)])
def test_progress_and_compiling_are_left_alone(tmp_path, phase, beats):
    phases = Phases()
    phases.enter(phase)
    assert bark(tmp_path, phases, seconds=0.8, beats=beats) == []


def test_a_watchdog_of_no_minutes_is_none(tmp_path):
    before = threading.active_count()
    Watchdog(Phases(), tmp_path, minutes=0)
    assert threading.active_count() == before


def test_a_phase_within_another_stops_its_clock():
    phases = Phases()
    phases.enter("step")
    with phases("evaluate"):
        time.sleep(0.1)
        with phases("save"):
            time.sleep(0.05)
    phases.beat()
    assert phases.seconds["evaluate"] == pytest.approx(0.1, abs=0.04)
    assert phases.seconds["save"] == pytest.approx(0.05, abs=0.04)
    assert phases.seconds["step"] < 0.04 and phases.current == "step"


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
