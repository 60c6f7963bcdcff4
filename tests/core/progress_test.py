"""Progress: a live line on a terminal, lines now and then elsewhere, nothing unless it is on."""

import io
import sys
import threading
import time

import pytest

from pipeline.core import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch):
    """Show work at once, on a screen of the test's own."""
    own = progress.Screen()
    own.enabled = True
    monkeypatch.setattr(progress, "screen", own)
    monkeypatch.setattr(progress, "_ON_TERMINAL_S", 0)
    monkeypatch.setattr(progress, "_ANNOUNCED_S", 0)
    monkeypatch.setattr(progress, "_REDRAW_S", 0.002)
    yield own
    deadline = time.monotonic() + 5
    while any(thread.name == "progress" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread does not end with the work"
        time.sleep(0.002)


def until(stream: io.StringIO, text: str) -> None:
    deadline = time.monotonic() + 5
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, f"{text!r} is not in {stream.getvalue()!r}"
        time.sleep(0.002)


def test_a_line_has_the_count_and_the_time_left_since_the_first_unit(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    work = progress.Task("packing", 400, "images", "", True)
    assert work.line(112.0) == "packing: 0 of 400 images, 0:12" and work.bar() == f"[{'.' * 20}] "
    monkeypatch.setattr(time, "monotonic", lambda: 160.0)  # the first took a minute
    work.advance()
    assert work.line(160.0) == "packing: 1 of 400 images, 1:00"
    work.update(101)
    assert work.line(170.0) == "packing: 101 of 400 images, 0:30 left"
    assert work.bar() == f"[{'#' * 5}{'.' * 15}] "
    assert work.end(4000.0) == "packing: 101 images took 1:05:00"


def test_work_without_a_total_shows_the_time_that_passed(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    work = progress.Task("compiling the decoder", None, "", "kept", True)
    assert work.line(75.0) == "compiling the decoder, 1:15 (kept)" and work.bar() == ""
    assert work.end(75.0) == "compiling the decoder took 1:15"


def test_elsewhere_work_that_lasts_is_announced_and_ends_with_its_time(monkeypatch, screen):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.task("exporting", 2, "files") as work:
        until(stream, "strata: exporting: 0 of 2 files")
        work.advance(2)
        with progress.task("restoring", says_end=False):
            until(stream, "strata: restoring, 0:00")
    assert stream.getvalue().splitlines()[-1] == "strata: exporting: 2 files took 0:00"
    assert len(stream.getvalue().splitlines()) == 3


def test_on_a_terminal_one_line_is_redrawn_below_what_is_printed(monkeypatch, screen):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # redirected: results stay out of the line
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    screen.status("step 1")
    for _ in progress.track(range(4), "evaluating", 4, "batches"):
        pass
    with progress.task("compiling", 4):
        until(stream, "[....................] compiling: 0 of 4, 0:00")
        screen.say("a remark")
        print("a result")
    screen.status("step 2")
    screen.status("")
    assert stream.getvalue().splitlines()[-1].endswith("step 2")
    assert "a remark\n" in stream.getvalue() and "strata:" not in stream.getvalue()
    assert sys.stderr is stream and sys.stdout.getvalue() == "a result\n"  # pyright: ignore


def test_nothing_is_shown_unless_the_command_line_asks(monkeypatch, screen):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress.show(False)
    with progress.task("packing"):
        assert not any(thread.name == "progress" for thread in threading.enumerate())
    assert stream.getvalue() == ""


def test_an_error_leaves_no_line_of_unfinished_work(monkeypatch, screen):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    batches = progress.track(range(3), "evaluating", 3)
    next(batches)
    until(stream, "strata: evaluating")
    screen.close()
    batches.close()
    assert len(stream.getvalue().splitlines()) == 1
