"""Saves of several processes: a failure of one is known to the others at once."""

import concurrent.futures
import errno
import os
import types

import jax
import jax.numpy as jnp
import pytest
from orbax.checkpoint import v1 as ocp

from pipeline.core.errors import CheckpointError
from pipeline.storage.paths import as_path
from pipeline.training.checkpoints import lockstep, orbax_saves, probe
from pipeline.training.runtime import cluster_status

FULL = OSError(errno.EFBIG, os.strerror(errno.EFBIG))


class _Store:
    """The key-value store of JAX's coordinator; a missing key would be awaited in vain."""

    def __init__(self):
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str) -> None:
        self.values[key] = value

    def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
        return [pair for pair in sorted(self.values.items()) if pair[0].startswith(prefix)]

    def blocking_key_value_get(self, key: str, timeout_ms: int) -> str:
        return self.values[key]


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Return a function that ends a save as a process whose own part fails, or waits for ever."""
    store, committed = _Store(), []
    monkeypatch.setattr(cluster_status, "client", lambda: store)
    monkeypatch.setattr(orbax_saves, "_abandoned", False)
    monkeypatch.setattr(lockstep, "_LOOK_S", 0.01)

    def end(process: int, error: Exception | None = None, *, waits: bool = False) -> list:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        if error is not None:
            future.set_exception(error)
        elif not waits:
            future.set_result(None)
        runner = types.SimpleNamespace(_future=future)
        response = types.SimpleNamespace(_thread_runner=runner, result=lambda: None)
        monkeypatch.setattr(ocp, "save_checkpointables_async", lambda folder, tree: response)
        monkeypatch.setattr(jax, "process_index", lambda: process)
        written = lockstep.Save(str(tmp_path), {"params": {"w": jnp.ones(3)}}, 1)
        written.finish(lambda kinds, sums: committed.append(list(kinds)))
        return committed

    return end


@pytest.mark.parametrize("waits", [False, True])
def test_a_disk_that_is_full_for_the_first_process_fails_the_save_of_all(save, waits):
    with pytest.raises(OSError, match="File too large"):
        save(0, FULL)
    assert orbax_saves.are_left_behind()
    with pytest.raises(CheckpointError, match=r"^File too large"):
        save(1, waits=waits)


@pytest.mark.parametrize("waits", [False, True])
def test_a_disk_that_is_full_for_another_process_fails_the_save_of_all(save, waits):
    with pytest.raises(OSError, match="File too large"):
        save(1, FULL)
    for process in (2, 0):  # Both wait at Orbax's barriers, where process 1 never comes.
        with pytest.raises(CheckpointError, match=r"^process 1: File too large"):
            save(process, waits=True)


def test_a_save_that_all_have_written_is_committed_by_the_first(save):
    assert save(0) == save(1) == [["params.w"]]
    assert not orbax_saves.are_left_behind()


def test_a_future_is_that_of_orbax(tmp_path):
    response = ocp.save_checkpointables_async(str(tmp_path / "1"), {"params": {"w": jnp.ones(3)}})
    orbax_saves.future(response).result(timeout=60)
    response.result()
    assert (tmp_path / "1").is_dir()


def test_a_probe_leaves_nothing_and_raises_what_a_save_would(tmp_path):
    probe.write(as_path(tmp_path / "checkpoints"), 3)
    assert list((tmp_path / "checkpoints").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        probe.write(as_path(tmp_path / "file"), 3)
