"""One number for a whole training state: two runs that agree in it agree in every bit of every array."""

import hashlib
from typing import Any

import jax
import numpy as np


def state_digest(state: Any) -> str:
    """sha256 over (path, dtype, shape, bytes) of all arrays of a pytree, in the order of their paths.

    A TrainState and what Checkpoints.arrays reads back of it have the same digest: a path is the names joined by
    dots, and "counters", the part in which a checkpoint keeps a state's scalars, is none. Bytes are row-major and
    little-endian, whatever the machine and the sharding.
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
