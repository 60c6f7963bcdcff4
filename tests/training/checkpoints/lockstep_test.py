"""Saves of several processes: a failure of one is known to the others at once."""

import errno
import os
import types

import jax
import jax.numpy as jnp
import pytest
from orbax.checkpoint import v1 as ocp

from pipeline.core.errors import CheckpointError
from pipeline.training.checkpoints import lockstep
from pipeline.training.runtime import cluster_status


class _Store:
    """The key-value store of JAX's coordinator; a missing key would be awaited in vain."""

    def __init__(self):
        self.values: dict[str, str] = {}

    def key_value_set(self, key: str, value: str) -> None:
        self.values[key] = value

    def blocking_key_value_get(self, key: str, timeout_ms: int) -> str:
        return self.values[key]


@pytest.fixture
def save(tmp_path, monkeypatch):
    """Return a function that ends a save as a process whose own part fails with an error."""
    store, committed = _Store(), []
    monkeypatch.setattr(cluster_status, "client", lambda: store)

    def end(process: int, error: Exception | None) -> list:
        def result():
            if error is not None:
                raise error

        response = types.SimpleNamespace(result=result)
        monkeypatch.setattr(ocp, "save_checkpointables_async", lambda folder, tree: response)
        monkeypatch.setattr(jax, "process_index", lambda: process)
        written = lockstep.Save(str(tmp_path), {"params": {"w": jnp.ones(3)}}, 1)
        written.finish(lambda kinds, sums: committed.append(list(kinds)))
        return committed

    return end


def test_a_disk_that_is_full_for_the_first_process_alone_fails_the_save_of_all(save):
    full = OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    with pytest.raises(OSError, match="File too large"):
        save(0, full)
    with pytest.raises(CheckpointError, match="File too large"):
        save(1, None)


def test_a_save_that_all_have_written_is_committed_by_the_first(save):
    assert save(0, None) == save(1, None) == [["params.w"]]
