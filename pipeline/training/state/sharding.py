"""Which axis of the mesh each array is split over. Model code knows nothing of it."""

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
from pipeline.core.errors import ConfigError

BATCH = PartitionSpec(("replica", "fsdp"))
IMAGES = PartitionSpec(("replica", "fsdp"), "context")
CLIPS = PartitionSpec(("replica", "fsdp"), None, "context")
# Below this many elements the collectives cost more than the memory is worth.
MIN_SHARDED = 2**12


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first dimension over all devices that hold different examples."""
    return NamedSharding(mesh, BATCH)


def sharding_of(rows: NamedSharding, rank: int) -> NamedSharding:
    """That of a batch's array of so many dimensions, given batch_sharding: images and clips are split in height too."""
    return NamedSharding(rows.mesh, {4: IMAGES, 5: CLIPS}.get(rank, BATCH))


def spec_for(shape: Sequence[int], fsdp: int, *, min_size: int = MIN_SHARDED) -> PartitionSpec:
    """The largest dimension that `fsdp` divides is split; small arrays, and those without one, are replicated."""
    if fsdp == 1 or math.prod(shape) < min_size:
        return PartitionSpec()
    divisible = [dim for dim, size in enumerate(shape) if size % fsdp == 0]
    if not divisible:
        return PartitionSpec()
    largest = max(divisible, key=lambda dim: shape[dim])
    return PartitionSpec(*[None] * largest, "fsdp")


def shard_bytes(shape: jax.ShapeDtypeStruct) -> int:
    """Bytes that one device holds of an array with a sharding."""
    return math.prod(shape.sharding.shard_shape(shape.shape)) * shape.dtype.itemsize


def state_shardings(
    mesh: Mesh | AbstractMesh,
    state: Any,
    overrides: Mapping[str, Sequence[str | None]] | None = None,
) -> Any:
    """A sharding for each array of a state of shapes: by the first override whose regex matches, or `spec_for`.

    Optimiser state follows the parameters, because the rule sees nothing but shapes. Overrides are
    {regex: axes}, such as {"out_conv.kernel": [None, None, None, "fsdp"]}; the regex is searched in the
    array's path, as "params.decoder.out_conv.kernel".

    Raises:
      ConfigError: an override that does not fit the array, or matches none.
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
                f"sharding override {list(axes)} does not divide {name} {tuple(shape)} on {dict(mesh.shape)}"
            )
    return PartitionSpec(*axes)


def lower_step(
    step: Callable[..., Any], state: Any, batch: Any, *frozen: Any
) -> jax.stages.Lowered:
    """A step (state, batch) -> (state, metrics), ready to compile for arrays or shapes with these shardings.

    The next state takes over the buffers of this one, and so its shardings, which XLA is otherwise free to change.
    `frozen` is, for a step that takes a third argument, what it reads and nothing changes.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    options = compiler_options(target.backend())
    jitted = jax.jit(
        step, donate_argnums=0, out_shardings=(shardings, None), compiler_options=options
    )
    with target.compiling_for(target.backend(), mesh=batch["index"].sharding.mesh):
        return jitted.lower(state, batch, *frozen)


def replicate(mesh: Mesh, arrays: Any) -> Any:
    """Host arrays, whole on every device of the mesh."""
    where = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda array: jax.make_array_from_callback(array.shape, where, array.__getitem__), arrays
    )


def replicated_shapes(mesh: Mesh, arrays: Any) -> Any:
    """The same as shapes, for devices that are not there."""
    where = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=where), arrays
    )


def place(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """Global arrays from this process's rows of a batch, those that `local_rows` tells, at their full height."""
    # Of one row for each part of the batch, this process has as many as it has parts.
    parts = math.prod(sharding.mesh.shape[axis] for axis in ("replica", "fsdp"))
    num_rows = len(batch["index"]) * parts // len(local_rows(sharding, parts))
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
    """The rows of a global batch that this process (or another) must feed: those of its devices, in order.

    Processes between which `context` splits images have the same ones. A process's rows need not be together: on a
    TPU, neighbours on the mesh are neighbours on the torus, and hosts are tiles of it.
    """
    process_index = jax.process_index() if process_index is None else process_index
    return rows_of(sharding.devices_indices_map((batch_size,)), batch_size, process_index)


def rows_of(
    indices: Mapping[Any, tuple[slice, ...]], batch_size: int, process_index: int
) -> Int[np.ndarray, " n"]:
    """The rows of a process, given those of every device."""
    own = {
        where.indices(batch_size)
        for device, (where,) in indices.items()
        if device.process_index == process_index
    }
    return np.concatenate([np.arange(*each) for each in sorted(own)])
