"""Reads the arrays of a checkpoint, and compares them with its manifest."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from pipeline.core.errors import CheckpointError, DamagedCheckpoint
from pipeline.formats.names import first_few
from pipeline.storage.paths import Path
from pipeline.training.checkpoints import orbax_buckets
from pipeline.training.checkpoints.checksum import checksum, is_finite, of_array
from pipeline.training.checkpoints.orbax_errors import raise_as_damage
from pipeline.training.state.state_tree import Tree, described, flat, without_empty


def load(path: Path, content: Mapping[str, Any], tree: Tree) -> Tree:
    """Return the arrays with the shapes and shardings of `tree`, without comparing checksums.

    Args:
      path: the folder of the step; `content` is that of its manifest.

    Raises:
      DamagedCheckpoint: they cannot be read.
    """
    with raise_as_damage(path), _low_memory(path, tree):
        return ocp.load_checkpointables(str(path / content["folder"]), without_empty(tree))


def arrays(path: Path, content: Mapping[str, Any], parts: Collection[str]) -> Tree:
    """Return verified NumPy arrays by part and name, of all parts if `parts` is empty.

    Raises:
      DamagedCheckpoint: they are not what the manifest's `content` describes.
    """
    wanted: Tree = {}
    for name, said in content["arrays"].items():
        part, _, rest = name.partition(".")
        if not parts or part in parts:
            wanted.setdefault(part, {})[rest] = np.empty(said["shape"], jnp.dtype(said["dtype"]))
    loaded = load(path, content, wanted)
    read = {name: np.asarray(array) for name, array in flat(loaded).items()}
    _compare(path, content, {name: checksum(array) for name, array in read.items()})
    _refuse_nonfinite(path, [name for name, array in read.items() if not is_finite(array)])
    return loaded


def check_shapes(path: Path, content: Mapping[str, Any], tree: Tree) -> None:
    """Raise CheckpointError for the first name whose type or shape differs in `tree`.

    Orbax accepts arrays of another shape silently, and its errors name no array.
    """
    saved = {
        name: f"{each['dtype']}{each['shape']}"
        for name, each in content["arrays"].items()
        if name.partition(".")[0] in tree
    }
    wanted = described(tree)
    if "counters" not in tree:  # a model without the objective's trained parameters
        saved = {
            name: kind
            for name, kind in saved.items()
            if not name.partition(".")[2].startswith("objective.")
        }
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            raise CheckpointError(
                f"checkpoint {path} is of another model or optimizer: {name} is "
                f"{saved.get(name, 'absent')} there, and {wanted.get(name, 'absent')} here"
            )


def check_sums(path: Path, content: Mapping[str, Any], loaded: Tree) -> None:
    """Raise DamagedCheckpoint, on every process, for arrays that differ from their checksums.

    The same for arrays that are not finite, from which no run can continue.
    """
    names = list(flat(loaded))
    parts = [of_array(array) for array in flat(loaded).values()]
    shares = np.array([(total, not finite) for total, finite in parts], np.uint64)
    if jax.process_count() > 1:
        # As pairs of 32 bits: JAX has 64-bit types only if they are enabled.
        gathered = multihost_utils.process_allgather(shares.view(np.uint32))
        shares = np.ascontiguousarray(gathered).view(np.uint64).sum(axis=0, dtype=np.uint64)
    _compare(path, content, dict(zip(names, map(int, shares[:, 0]))))
    _refuse_nonfinite(path, [name for name, bad in zip(names, shares[:, 1]) if bad])


def _compare(path: Path, content: Mapping[str, Any], sums: Mapping[str, int]) -> None:
    wrong = [
        name
        for name, total in sums.items()
        if f"{total:016x}" != content["arrays"][name]["checksum"]
    ]
    if wrong:
        raise DamagedCheckpoint(
            f"checkpoint {path} is damaged: {first_few(wrong)}: not what was saved (checksum)"
        )


def _refuse_nonfinite(path: Path, names: Sequence[str]) -> None:
    if names:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {first_few(names)}: not finite")


def _low_memory(path: Path, tree: Tree) -> ocp.Context:
    """Return a context that reads a tenth of the state at once, or one array, to save memory."""
    sizes = [math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in flat(tree).values()]
    context = orbax_buckets.context(path)
    context.memory.read_concurrent_bytes = max(sum(sizes) // 10, *sizes, 1 << 24)
    return context
