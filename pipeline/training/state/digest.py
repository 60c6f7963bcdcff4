"""A digest of a training state: equal digests mean that every bit of every array is equal."""

import hashlib
from typing import Any

import jax
import numpy as np


def state_digest(state: Any) -> str:
    """Return the sha256 over (path, dtype, shape, bytes) of a pytree's arrays, sorted by path.

    A TrainState and the arrays that `Checkpoints.arrays` reads back have the same digest: a path is
    the names joined by dots, without "counters", the part of a checkpoint that holds the state's
    scalars. Bytes are row-major and little-endian on every machine and for every sharding.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    named = {
        jax.tree_util.keystr(path, simple=True, separator=".").removeprefix("counters."): leaf
        for path, leaf in leaves
    }
    digest = hashlib.sha256()
    for name in sorted(named):
        array = np.asarray(named[name])
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
