"""The end of data worker processes whose parent was killed."""

import multiprocessing
import os
import threading


def end_with_parent(worker_index: int, worker_count: int) -> None:
    """Make a worker exit when its parent is killed; Grain's would wait for ever."""
    del worker_index, worker_count
    threading.Thread(target=_wait_and_exit, name="end-with-parent", daemon=True).start()


def _wait_and_exit() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
