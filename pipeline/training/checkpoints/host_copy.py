"""A copy of a state's arrays on the host, for a save that goes on while training changes them."""

import jax
import numpy as np

from pipeline.training.state.state_tree import Tree, described


class HostCopy:
    """Copies a CPU's arrays; device_get would return views of buffers that are donated next.

    The memory is kept for the next copy, because touching its pages for the first time takes
    longer than filling them.
    """

    def __init__(self):
        self._host: Tree = {}

    def __call__(self, tree: Tree) -> Tree:
        """Return NumPy arrays with the content of a tree, valid until the next call."""
        if described(self._host) != described(tree):
            self._host = jax.tree.map(lambda array: np.empty(array.shape, array.dtype), tree)
        for array, host in zip(jax.tree.leaves(tree), jax.tree.leaves(self._host)):
            for shard in array.addressable_shards:
                if shard.replica_id == 0:
                    host[shard.index] = np.asarray(shard.data)
        return self._host
