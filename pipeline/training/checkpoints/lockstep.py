"""Saves that several processes write together: each its own part, and the first one commits."""

import concurrent.futures
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from pipeline.core import errors
from pipeline.core.errors import CheckpointError, StrataError
from pipeline.training.checkpoints import orbax_saves
from pipeline.training.checkpoints.checksum import MASK, of_array, require_finite
from pipeline.training.checkpoints.orbax_errors import reason
from pipeline.training.runtime import cluster_status
from pipeline.training.state.state_tree import Tree, flat

_TOGETHER_S = 600  # Timeout for all processes to write their part.
_LOOK_S = 1.0  # How often a process that has written its part looks for a failure of another.

Kinds = Mapping[str, tuple[str, tuple[int, ...]]]
Commit = Callable[[Kinds, Mapping[str, int]], None]


class Save:
    """A save of `tree` to a folder, begun when it is constructed, by all processes at once.

    Processes must save in lockstep, which only Orbax's asynchronous save does. It blocks the caller
    for a third of a millisecond per array, to copy it. The checksums are taken before, because
    training changes the state afterwards. `number` is that of the save, the same on all processes.
    """

    def __init__(self, folder: str, tree: Tree, number: int):
        arrays = flat(tree)
        self._parts = {name: of_array(array) for name, array in arrays.items()}
        self._kinds: Kinds = {
            name: (np.dtype(array.dtype).name, array.shape) for name, array in arrays.items()
        }
        self._response = ocp.save_checkpointables_async(folder, tree)
        self._sums_key, self._done_key = f"strata/checksums/{number}/", f"strata/saved/{number}"
        self._failed_key = f"strata/failed/{number}/"

    def finish(self, commit: Commit) -> None:
        """Wait for all processes; the first adds up the checksums, and calls `commit` with them.

        Raises:
          StrataError: on every process, if the save has failed on one.
        """
        client = cluster_status.client()
        own = json.dumps(list(self._parts.values()))
        client.key_value_set(f"{self._sums_key}{jax.process_index()}", own)
        try:
            self._write(client)
            if jax.process_index() == 0:
                commit(self._kinds, self._total(client))
                client.key_value_set(self._done_key, "")
            else:
                self._await_commit(client)
        except Exception as error:
            known = type(error) if isinstance(error, StrataError) else CheckpointError
            verdict = {"type": known.__name__, "text": reason(error)}
            client.key_value_set(f"{self._failed_key}{jax.process_index()}", json.dumps(verdict))
            raise

    def _write(self, client: Any) -> None:
        """Wait until all parts are written; raise the failure of any process at once.

        Orbax waits for processes that have failed at its barriers, for minutes, and in `result` of
        a failed save for its tasks there. Their threads are left to it.
        """
        written = orbax_saves.future(self._response)
        while not concurrent.futures.wait([written], _LOOK_S).done:
            try:
                self._raise_failure(client)
            except StrataError:
                orbax_saves.abandon()
                raise
        if written.exception() is not None:
            orbax_saves.abandon()
        written.result()
        self._response.result()

    def _await_commit(self, client: Any) -> None:
        """Wait until the first process has committed the save; raise its failure."""
        deadline = time.monotonic() + _TOGETHER_S
        while time.monotonic() < deadline:
            self._raise_failure(client)
            try:
                client.blocking_key_value_get(self._done_key, round(1000 * _LOOK_S))
                return
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
        raise CheckpointError(
            f"the first process did not complete the save within {_TOGETHER_S} seconds"
        )

    def _raise_failure(self, client: Any) -> None:
        for key, report in client.key_value_dir_get(self._failed_key):
            process, verdict = key.rpartition("/")[2], json.loads(report)
            by = "" if process == "0" else f"process {process}: "
            raise getattr(errors, verdict["type"])(by + verdict["text"])

    def _total(self, client: Any) -> dict[str, int]:
        """Return the checksums of whole arrays; raise CheckpointError if one is not finite."""
        parts = [
            json.loads(
                client.blocking_key_value_get(f"{self._sums_key}{process}", 1000 * _TOGETHER_S)
            )
            for process in range(jax.process_count())
        ]
        of_arrays = dict(zip(self._parts, zip(*parts, strict=True), strict=True))
        require_finite(
            [name for name, each in of_arrays.items() if not all(finite for _, finite in each)]
        )
        return {name: sum(total for total, _ in each) & MASK for name, each in of_arrays.items()}
