"""Shardings of states and batches over the mesh. Model code does not depend on them."""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from pipeline.backend import target
from pipeline.backend.jit import compiler_options
from pipeline.core.construct import blaming
from pipeline.core.errors import ConfigError

BATCH = PartitionSpec(("replica", "fsdp"))
IMAGES = PartitionSpec(("replica", "fsdp"), "context")
CLIPS = PartitionSpec(("replica", "fsdp"), None, "context")
# Collectives on arrays of fewer elements cost more than their memory is worth.
MIN_SHARDED = 2**12


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch's rows, over all devices that hold different examples."""
    return NamedSharding(mesh, BATCH)


def sharding_of(rows: NamedSharding, rank: int) -> NamedSharding:
    """Return the sharding of a batch's array of this rank, given `batch_sharding`.

    The height of images [b h w c] and clips [b t h w c] is also split, over `context`.
    """
    return NamedSharding(rows.mesh, {4: IMAGES, 5: CLIPS}.get(rank, BATCH))


def spec_for(shape: Sequence[int], fsdp: int, *, min_size: int = MIN_SHARDED) -> PartitionSpec:
    """Return the spec of a parameter: the largest dimension that `fsdp` divides is split.

    Arrays below `min_size` elements, and arrays without such a dimension, are replicated.
    """
    if fsdp == 1 or math.prod(shape) < min_size:
        return PartitionSpec()
    divisible = [dim for dim, size in enumerate(shape) if size % fsdp == 0]
    if not divisible:
        return PartitionSpec()
    largest = max(divisible, key=lambda dim: shape[dim])
    return PartitionSpec(*[None] * largest, "fsdp")


def shard_bytes(shape: jax.ShapeDtypeStruct) -> int:
    """Return the bytes of one device's shard of a shape with a sharding."""
    return math.prod(shape.sharding.shard_shape(shape.shape)) * shape.dtype.itemsize


def state_shardings(
    mesh: Mesh | AbstractMesh,
    state: Any,
    overrides: Mapping[str, Sequence[str | None]] | None = None,
) -> Any:
    """Return a sharding for each array of a state of shapes.

    The first override whose regex matches decides, else `spec_for`. Optimizer state is split like
    the parameters, because the rule depends on shapes alone. Overrides are {regex: axes}, such as
    {"out_conv.kernel": [None, None, None, "fsdp"]}; the regex is searched in the array's path, such
    as "params.decoder.out_conv.kernel".

    Raises:
      ConfigError: an override does not fit the array, or matches none.
    """
    rules = [(re.compile(pattern), axes) for pattern, axes in (overrides or {}).items()]
    unused = {pattern.pattern for pattern, _ in rules}

    def choose(path: Any, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        for pattern, axes in rules:
            if pattern.search(name):
                unused.discard(pattern.pattern)
                return NamedSharding(mesh, _override(mesh, name, leaf.shape, axes))
        return NamedSharding(mesh, spec_for(leaf.shape, mesh.shape["fsdp"]))

    shardings = jax.tree_util.tree_map_with_path(choose, state)
    if unused:
        raise ConfigError(f"sharding override {sorted(unused)[0]!r} matches no array of the state")
    return shardings


def _override(
    mesh: Mesh | AbstractMesh, name: str, shape: Sequence[int], axes: Sequence[str | None]
) -> PartitionSpec:
    if len(axes) > len(shape):
        raise ConfigError(
            f"sharding override {list(axes)} has more axes than {name} {tuple(shape)}"
        )
    for axis, size in zip(axes, shape):
        if axis is not None and (axis not in mesh.shape or size % mesh.shape[axis]):
            raise ConfigError(
                f"sharding override {list(axes)} does not divide {name} {tuple(shape)} on "
                f"{dict(mesh.shape)}"
            )
    return PartitionSpec(*axes)


def lower_step(
    step: Callable[..., Any], state: Any, batch: Any, *frozen: Any
) -> jax.stages.Lowered:
    """Lower a step (state, batch, *frozen) -> (state, metrics) for arrays or shapes with shardings.

    The state is donated. The next state therefore needs the same shardings, which XLA would
    otherwise be free to change. `frozen` is the third argument of steps that have one: arrays that
    are only read.

    Raises:
      ConfigError: the step cannot be traced with these shapes.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    options = compiler_options(target.backend())
    jitted = jax.jit(
        step, donate_argnums=0, out_shardings=(shardings, None), compiler_options=options
    )
    what = "the training step of this config.model, config.objective and config.data"
    with (
        target.compiling_for(target.backend(), mesh=batch["index"].sharding.mesh),
        blaming(lambda: f"{what} cannot be traced"),
    ):
        return jitted.lower(state, batch, *frozen)


def replicate(mesh: Mesh, arrays: Any) -> Any:
    """Copy host arrays whole onto every device of the mesh."""
    where = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda array: jax.make_array_from_callback(array.shape, where, array.__getitem__), arrays
    )


def replicated_shapes(mesh: Mesh, arrays: Any) -> Any:
    """Return the shapes of `replicate`'s result, for devices that need not exist."""
    where = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where), arrays
    )


def place(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Return global arrays from this process's rows of a batch (`local_rows`), at full height."""
    # In a batch with one row per shard, this process has one row for each of its shards.
    shards = math.prod(sharding.mesh.shape[axis] for axis in ("replica", "fsdp"))
    num_rows = len(batch["index"]) * shards // len(local_rows(sharding, shards))
    numbers = local_rows(sharding, num_rows)

    def put(values: np.ndarray) -> jax.Array:
        def shard(where: Any) -> np.ndarray:
            start, stop, _ = where[0].indices(num_rows)
            first = int(np.searchsorted(numbers, start))
            return values[(slice(first, first + stop - start), *where[1:])]

        return jax.make_array_from_callback(
            (num_rows, *values.shape[1:]),
            sharding_of(sharding, values.ndim),
            shard,
            dtype=values.dtype,
        )

    return {key: put(values) for key, values in batch.items()}


@functools.lru_cache(maxsize=16)
def local_rows(
    sharding: NamedSharding, batch_size: int, process_index: int | None = None
) -> Int[np.ndarray, " n"]:
    """Return the rows of a global batch that a process feeds to its devices, in order.

    Processes between which `context` splits images feed the same rows. The rows need not be
    contiguous: on a TPU, neighbours on the mesh are neighbours on the torus, and hosts are tiles
    of it.

    Args:
      process_index: this process by default.
    """
    process_index = jax.process_index() if process_index is None else process_index
    return rows_of(sharding.devices_indices_map((batch_size,)), batch_size, process_index)


def rows_of(
    indices: Mapping[Any, tuple[slice, ...]], batch_size: int, process_index: int
) -> Int[np.ndarray, " n"]:
    """Return the rows of a process, given the rows of every device."""
    own = {
        where.indices(batch_size)
        for device, (where,) in indices.items()
        if device.process_index == process_index
    }
    return np.concatenate([np.arange(*each) for each in sorted(own)])
