"""Attempts at hostile inputs: each knows the right outcome, and is classified when it is run."""

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pipeline import cli

RIGHT, REFUSED, WRONG, CRASHED, HUNG = "right", "refused", "wrong", "crashed", "hung"
OUTCOMES = (RIGHT, REFUSED, WRONG, CRASHED, HUNG)
BAD = (WRONG, CRASHED, HUNG)
_EXIT_CODES = (0, 2, 65, 70, 75, 76)
_SECONDS = 180  # an attempt takes milliseconds, or seconds if it compiles on idle cores


class Wrong(Exception):
    """An outcome other than the right one."""


class Attempt(NamedTuple):
    """One way to use one input.

    `run` returns RIGHT or REFUSED if that is the right outcome, and raises Wrong if it is not.
    """

    name: str
    run: Callable[[], str]


class Result(NamedTuple):
    name: str
    outcome: str
    detail: str


class Answer(NamedTuple):
    """What a command returned and printed."""

    code: int
    out: str
    err: str


class _Hung(BaseException):
    """Raised in an attempt by the alarm; no handler of the code under test catches it."""


def attempt(one: Attempt, seconds: float = _SECONDS) -> Result:
    """Run one attempt, for at most so many seconds, and classify its outcome.

    Native code that does not return cannot be interrupted: after twice the time, the attempt is
    printed and this process ends.
    """

    def interrupt(*_: object) -> None:
        raise _Hung

    def give_up() -> None:
        print(f"{HUNG}: {one.name}", file=sys.__stderr__, flush=True)
        os._exit(1)

    last = threading.Timer(2 * seconds, give_up)
    last.daemon = True
    last.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return Result(one.name, one.run(), "")
    except Wrong as error:
        return Result(one.name, WRONG, str(error))
    except _Hung:
        return Result(one.name, HUNG, f"no answer after {seconds:g} s")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"
        return Result(one.name, CRASHED, f"{type(error).__name__}: {error} ({place})")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        last.cancel()


def command(*arguments: Any) -> Answer:
    """Run `strata` with these arguments in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.dispatch([os.fspath(argument) for argument in arguments])
        except SystemExit as error:
            raise Wrong(f"the command left by SystemExit({error.code})") from None
    answer = Answer(code, out.getvalue(), err.getvalue())
    if code not in _EXIT_CODES:
        raise Wrong(f"exit code {code} is not documented: {answer.err[-200:]!r}")
    return answer


def expect_refusal(answer: Answer, code: int, *words: str) -> str:
    """Check that a command failed with this exit code and one line that has all these words.

    Each of the words may be several that are separated by |, of which one is enough.
    """
    if answer.code != code:
        raise Wrong(f"exit code {answer.code}, not {code}: {answer.err[-200:]!r}")
    lines = [line for line in answer.err.splitlines() if line.startswith("strata ")]
    if not lines or "Traceback" in answer.err:
        raise Wrong(f"no line of one command: {answer.err[-300:]!r}")
    for word in words:
        if not any(_has(line, word) for line in lines):
            raise Wrong(f"no {word!r} in {answer.err[-300:]!r}")
    return REFUSED


def expect_success(answer: Answer) -> None:
    """Check that a command was successful."""
    if answer.code:
        raise Wrong(f"exit code {answer.code}: {answer.err[-300:]!r}")


@contextlib.contextmanager
def refusals_of(kind: type[Exception], words: Sequence[str]) -> Iterator[None]:
    """Check that the body raises this error, in one line with these words."""
    try:
        yield
    except kind as error:
        text = str(error)
        if "\n" in text:
            raise Wrong(f"more than one line: {text!r}") from None
        for word in words:
            if not _has(text, word):
                raise Wrong(f"no {word!r} in {text!r}") from None
        return
    raise Wrong("it was accepted")


def _has(text: str, words: str) -> bool:
    """Return whether a text has one of the words that are separated by |."""
    return any(word in text for word in words.split("|"))
