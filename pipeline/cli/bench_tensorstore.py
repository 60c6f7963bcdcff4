"""Saves and restores of a state by TensorStore alone: what `strata bench checkpoint` compares with.

One zarr3 array per array of the state, whole and compressed as Orbax compresses it, in one OCDBT
database that is committed once. There are no checksums, manifests or processes to agree with.
"""

import time
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from pipeline.storage.paths import Path, is_remote
from pipeline.training.checkpoints import orbax_buckets
from pipeline.training.state.state_tree import flat, to_tree, without_empty
from pipeline.training.state.train_state import TrainState

_CODECS = [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}]


def save(folder: Path, state: TrainState) -> float:
    """Write the arrays into a new `folder` and return the seconds this took."""
    arrays, context = _arrays(state), ts.Context()
    began = time.perf_counter()
    hosts = {name: np.asarray(array) for name, array in arrays.items()}
    with ts.Transaction() as transaction:
        opening = [
            ts.open(
                _spec(folder, name) | {"metadata": {"codecs": _CODECS}},
                context=context,
                create=True,
                dtype=host.dtype,
                shape=host.shape,
                transaction=transaction,
            )
            for name, host in hosts.items()
        ]
        writing = [each.result().write(host) for each, host in zip(opening, hosts.values())]
        for each in writing:
            each.result()
    return time.perf_counter() - began


def restore(folder: Path, state: TrainState) -> float:
    """Read all arrays of `state` from `folder` and return the seconds this took."""
    names, context = list(_arrays(state)), ts.Context()
    began = time.perf_counter()
    opening = [ts.open(_spec(folder, name), context=context, open=True) for name in names]
    reading = [each.result().read() for each in opening]
    jax.block_until_ready([jax.device_put(each.result()) for each in reading])
    return time.perf_counter() - began


def _arrays(state: TrainState) -> dict[str, jax.Array]:
    return flat(without_empty(to_tree(state)))


def _spec(folder: Path, name: str) -> dict[str, Any]:
    if is_remote(folder):
        base = orbax_buckets.key_value_store(f"{folder}/")
    else:
        base = {"driver": "file", "path": f"{folder}/"}
    kvstore = {"driver": "ocdbt", "base": base, "path": f"{name}/"}
    # As Orbax: nothing else writes there meanwhile.
    fresh = {"recheck_cached_data": "open", "recheck_cached_metadata": "open"}
    return {"driver": "zarr3", "kvstore": kvstore} | fresh
