"""Saves that several processes write together: each its own part, and the first one commits."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from pipeline.core import errors
from pipeline.core.errors import CheckpointError, StrataError
from pipeline.training.checkpoints.checksum import MASK, of_array, require_finite
from pipeline.training.checkpoints.orbax_errors import reason
from pipeline.training.runtime import cluster_status
from pipeline.training.state.state_tree import Tree, flat

_TOGETHER_S = 600  # Timeout for all processes to write their part.

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

    def finish(self, commit: Commit) -> None:
        """Wait for all processes; the first adds up the checksums, and calls `commit` with them.

        Raises:
          StrataError: on every process, if the save has failed on one.
        """
        client = cluster_status.client()
        own = json.dumps(list(self._parts.values()))
        client.key_value_set(f"{self._sums_key}{jax.process_index()}", own)
        if jax.process_index() > 0:
            self._response.result()
            verdict = json.loads(client.blocking_key_value_get(self._done_key, 1000 * _TOGETHER_S))
            if verdict:
                raise getattr(errors, verdict["type"])(verdict["text"])
            return
        try:
            self._response.result()
            commit(self._kinds, self._total(client))
        except Exception as error:
            known = type(error) if isinstance(error, StrataError) else CheckpointError
            verdict = {"type": known.__name__, "text": reason(error)}
            client.key_value_set(self._done_key, json.dumps(verdict))
            raise
        client.key_value_set(self._done_key, json.dumps(None))

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
