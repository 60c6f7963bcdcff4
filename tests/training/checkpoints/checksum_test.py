"""The checksum does not depend on how an array is split; any single flipped bit changes it."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from pipeline.training.checkpoints.checksum import MASK, checksum, of_array
from pipeline.training.state import mesh as meshes

RANDOM = np.random.default_rng(0)
SHAPES = [(), (1,), (7,), (3, 3, 8, 16), (64, 2), (2, 70_000), (70_000,), (0, 3)]
DTYPES = [
    np.float32,
    np.int32,
    np.uint8,
    np.float16,
    ml_dtypes.bfloat16,
    np.float64,
    np.int64,
    bool,
]


def array_of(shape, dtype) -> np.ndarray:
    return (
        RANDOM.integers(0, 256, shape) if dtype is not bool else RANDOM.random(shape) < 0.5
    ).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_add_up(shape, dtype):
    array = np.asarray(array_of(shape, dtype))
    whole = checksum(array)
    for dim, size in enumerate(shape):
        cut, total = size // 3, 0
        for part in (slice(0, cut), slice(cut, size)):
            index = tuple(part if d == dim else slice(0, n) for d, n in enumerate(shape))
            total += checksum(array[index], tuple(piece.start for piece in index))
        assert total & MASK == whole


def test_every_flipped_bit_changes_it():
    array = RANDOM.standard_normal((5, 3, 4)).astype(np.float32)
    seen = {checksum(array)}
    for element in range(array.size):
        for bit in range(32):
            other = array.copy()
            other.reshape(-1).view(np.uint32)[element] ^= np.uint32(1 << bit)
            seen.add(checksum(other))
    assert len(seen) == 1 + array.size * 32


def test_places_matter():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    others = [
        array[::-1],
        array[:, ::-1],
        array.reshape(6, 4),
        array.T,
        array.reshape(-1),
        np.roll(array, 1, 1),
    ]
    assert len({checksum(np.ascontiguousarray(each)) for each in [array, *others]}) == 7


@pytest.mark.parametrize(
    "sizes, spec",
    [
        (dict(fsdp=8), PartitionSpec("fsdp")),
        (dict(fsdp=8), PartitionSpec(None, "fsdp")),
        (dict(fsdp=4, context=2), PartitionSpec("context", "fsdp")),
        (dict(replica=2, fsdp=4), PartitionSpec(None, "fsdp")),
        (dict(fsdp=8), PartitionSpec()),
    ],
)
def test_shardings_agree(sizes, spec):
    array = RANDOM.standard_normal((16, 24)).astype(np.float32)
    sharding = NamedSharding(meshes.create(**sizes), spec)
    assert of_array(jax.device_put(jnp.asarray(array), sharding)) == (checksum(array), True)
    array[-1, -1] = np.inf
    assert of_array(jax.device_put(jnp.asarray(array), sharding)) == (checksum(array), False)
