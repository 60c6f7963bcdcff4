"""The death of a worker is reported, and workers do not outlive their parent."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pipeline.core.errors import DataError
from pipeline.data.images.image_data import ImageData

PARENT = """
import multiprocessing, time
from pipeline.data.images.image_data import ImageData
if __name__ == "__main__":
    batches = ImageData("digits", image_size=8, num_workers=1).train(512, 0)
    next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


def test_a_killed_worker_is_reported():
    before = set(multiprocessing.active_children())
    with ImageData("digits", image_size=8, num_workers=1).train(512, 0) as batches:
        next(batches)
        (worker,) = set(multiprocessing.active_children()) - before
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(
            DataError, match=r"worker process died \(.*exit code -9\).*data.num_workers"
        ):
            for _ in range(100):
                next(batches)
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[3])}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 1
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that is not reaped yet does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
