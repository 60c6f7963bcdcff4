"""Progress of slow work, on standard error.

On a terminal one line is kept up to date below everything else that is printed. Elsewhere, work
that lasts prints a line once that is known, one now and then, and one at its end. `show` turns this
on: the command line does, so that neither a library's user nor a test sees any of it.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

_ON_TERMINAL_S = 1.0  # age of work that the line on a terminal names
_ANNOUNCED_S = 3.0  # age of work that is announced elsewhere
_REPEAT_S = 30.0  # between two lines about it; a tenth of its age once that is more
_REDRAW_S = 0.25
_BAR = 20  # characters


class Task:
    """Work in progress: what it is, and how much of it is done."""

    def __init__(self, what: str, total: int | None, unit: str, hint: str, says_end: bool):
        self.what, self.total, self.unit, self.hint = what, total, unit, hint
        self.says_end, self.began, self.done = says_end, time.monotonic(), 0
        self.is_announced = False
        self.next_line = self.began + _ANNOUNCED_S
        self._first: tuple[float, int] | None = None  # when anything was done first, and how much
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Count more units as done, from any thread."""
        with self._lock:
            self.update(self.done + count)

    def update(self, done: int, total: int | None = None) -> None:
        """Set the number of units that are done, and how many there are if that is known now."""
        self.done = done
        self.total = self.total if total is None else total
        self._first = self._first or (time.monotonic(), done)

    def line(self, now: float) -> str:
        """Return the work, what is done of it and the time that is left, or has passed."""
        count, left = "", self._left(now)
        if self.total is not None:
            count = f": {self.done:,} of {self.total:,}{self.unit and ' '}{self.unit}"
        elif self.done:
            count = f": {self.done:,}{self.unit and ' '}{self.unit}"
        passed = duration(now - self.began) if left is None else f"{duration(left)} left"
        return f"{self.what}{count}, {passed}{f' ({self.hint})' if self.hint else ''}"

    def bar(self) -> str:
        """Return a bar of what is done, or nothing if that is not known."""
        if not self.total:
            return ""
        filled = min(_BAR, _BAR * self.done // self.total)
        return f"[{'#' * filled}{'.' * (_BAR - filled)}] "

    def end(self, now: float) -> str:
        """Return the work and the time that it took."""
        count = f": {self.done:,} {self.unit}".rstrip() if self.done else ""
        return f"{self.what}{count} took {duration(now - self.began)}"

    def _left(self, now: float) -> float | None:
        """Return the seconds left at the rate since the first unit, which may have compiled."""
        if self._first is None or self.total is None or self.done <= self._first[1]:
            return None
        begin, before = self._first
        return max(self.total - self.done, 0) * (now - begin) / (self.done - before)


class Screen:
    """Standard error, which shows the innermost work that lasts, or else a status.

    A thread redraws while there is work. It is a daemon that ends by itself with the work, so that
    it never keeps a process from ending.
    """

    def __init__(self):
        self.enabled = False
        self._lock = threading.RLock()
        self._tasks: list[Task] = []
        self._status = ""
        self._live: Any = None
        self._drawing = False

    def begin(self, task: Task) -> None:
        """Show a task until `finish`, if it lasts."""
        with self._lock:
            self._tasks.append(task)
            if not self._drawing:
                self._drawing = True
                threading.Thread(target=self._draw_on, name="progress", daemon=True).start()

    def finish(self, task: Task) -> None:
        """Stop showing a task."""
        with self._lock:
            if task not in self._tasks:  # closed
                return
            self._tasks.remove(task)
            now = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # standard error is closed
                if self._is_terminal():
                    self._draw(now)
                elif task.is_announced and task.says_end:
                    self.say(f"strata: {task.end(now)}")

    def status(self, text: str) -> None:
        """Show a line below everything else on a terminal until the next one; print it elsewhere.

        An empty text ends it, and leaves the last one on the screen.
        """
        with self._lock:
            if self._is_terminal():
                last, self._status = self._status, text
                self._draw(time.monotonic())
                if last and not text:
                    self.say(last)
            elif text:
                self.say(text)

    def close(self) -> None:
        """Stop showing anything, because of an error that has left work unfinished."""
        with self._lock:
            self._tasks.clear()
            self.status("")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            if self._live is None:
                print(text, file=sys.stderr, flush=True)
                return
            from rich.text import Text

            self._live.console.print(Text(text), soft_wrap=True)

    def _draw_on(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._drawing = False
                    return
                with contextlib.suppress(OSError, ValueError):
                    self._draw(time.monotonic())
            time.sleep(_REDRAW_S)

    def _draw(self, now: float) -> None:
        is_terminal = self._is_terminal()
        age = _ON_TERMINAL_S if is_terminal else _ANNOUNCED_S
        task = next((each for each in reversed(self._tasks) if now - each.began >= age), None)
        if not is_terminal:
            if task is not None and now >= task.next_line:
                self.say(f"strata: {task.line(now)}")
                task.is_announced = True
                task.next_line = now + max(_REPEAT_S, (now - task.began) / 10)
            return
        text = self._status if task is None else f"{task.bar()}{task.line(now)}"
        if text:
            self._live = self._live or _live_line()
            from rich.text import Text

            self._live.update(Text(text, overflow="ellipsis", no_wrap=True), refresh=True)
        elif self._live is not None:
            self._live.stop()
            self._live = None

    def _is_terminal(self) -> bool:
        if self._live is not None:
            return True
        if not sys.stderr.isatty():
            return False
        from rich.console import Console

        return Console(stderr=True).is_interactive  # a dumb terminal cannot redraw a line


def _live_line() -> Any:
    """Return a line of standard error that is redrawn below whatever else is printed."""
    from rich.console import Console
    from rich.live import Live

    # Results go to standard output: they move above the line only where both are the terminal.
    live = Live(
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    live.start()
    live.console.show_cursor(True)  # a process that is killed would leave it hidden
    return live


screen = Screen()


def show(enabled: bool = True) -> None:
    """Show the progress of all work from now on, or of none."""
    screen.enabled = enabled


@contextlib.contextmanager
def task(
    what: str, total: int | None = None, unit: str = "", *, hint: str = "", says_end: bool = True
) -> Iterator[Task]:
    """Show the work within the context, if it lasts for seconds.

    Args:
      what: the work, as in "evaluating"; a time follows.
      total: number of units, if it is known; the time left is estimated from it.
      unit: plural of what `Task.advance` and `Task.update` count.
      hint: remark on the work while it lasts.
      says_end: whether a line names the time that it took, where there is no terminal.
    """
    work = Task(what, total, unit, hint, says_end)
    if not screen.enabled:
        yield work
        return
    screen.begin(work)
    try:
        yield work
    finally:
        screen.finish(work)


def track(
    items: Iterable[Item], what: str, total: int | None = None, unit: str = ""
) -> Iterator[Item]:
    """Yield the items and show how many are done."""
    with task(what, total, unit) as work:
        for item in items:
            yield item
            work.advance()


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds: 3725 gives "1:02:05"."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
