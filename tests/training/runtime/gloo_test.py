"""Threads that gloo starts run in the background, and no others do."""

import os
import pathlib
import select
import threading

import pytest

from pipeline.training.runtime import gloo


def policy_of(thread: threading.Thread) -> int:
    assert thread.native_id is not None
    return os.sched_getscheduler(thread.native_id)


def waits_on(thread: threading.Thread) -> str:
    return pathlib.Path(f"/proc/self/task/{thread.native_id}/wchan").read_text()


def kernel_allows_it() -> bool:
    """Return whether the kernel shows what a thread waits on, and lets its policy change.

    Containers may forbid either.
    """
    done = threading.Event()
    waiting = threading.Thread(target=done.wait)
    waiting.start()
    try:
        os.sched_setscheduler(waiting.native_id or 0, os.SCHED_IDLE, os.sched_param(0))
        threading.Event().wait(0.05)
        return "futex" in waits_on(waiting)
    except (OSError, AttributeError):
        return False
    finally:
        done.set()
        waiting.join()


@pytest.mark.skipif(
    not kernel_allows_it(), reason="the kernel hides what a thread waits on, or its policy is fixed"
)
def test_of_new_threads_those_that_poll_give_way():
    """A thread that polls (gloo's) gives way; one that waits on a lock (XLA's) does not."""
    ends, done = os.pipe(), threading.Event()

    def poll():
        with select.epoll() as poller:
            poller.register(ends[0], select.EPOLLIN)
            poller.poll()

    polling, waiting = threading.Thread(target=poll), threading.Thread(target=done.wait)
    try:
        with gloo.in_the_background():
            polling.start()
            waiting.start()
            for _ in range(600):
                if "epoll" in waits_on(polling) and "futex" in waits_on(waiting):
                    break
                threading.Event().wait(0.1)
        # Python names its threads' kernel side after the process, as gloo's is.
        assert policy_of(polling) == os.SCHED_IDLE
        assert policy_of(waiting) != os.SCHED_IDLE and os.sched_getscheduler(0) != os.SCHED_IDLE
    finally:
        os.write(ends[1], b"x")
        done.set()
        polling.join()
        waiting.join()
