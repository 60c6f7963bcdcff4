"""Sizes of meshes, shardings, and equal results on one device and on eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tiny_run import batch_of, tiny

from pipeline import build
from pipeline.core.errors import ConfigError
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states


def test_one_axis_takes_the_remaining_devices():
    assert dict(meshes.create(replica=2, fsdp=-1, context=1).shape) == {
        "replica": 2,
        "fsdp": 4,
        "context": 1,
    }


@pytest.mark.parametrize(
    "sizes", [dict(fsdp=3), dict(replica=-1, fsdp=-1), dict(fsdp=0), dict(replica=16, fsdp=-1)]
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ConfigError, match="mesh"):
        meshes.create(**sizes)


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    """The attributes of a device that decide its position on a mesh."""

    id: int
    process_index: int
    platform: str = "gpu"
    device_kind: str = "NVIDIA H100 80GB HBM3"
    slice_index: int = 0


def test_replica_goes_across_nodes_and_fsdp_stays_within_one():
    # Devices come in any order, as on a cluster; every row must still be one node's.
    devices = [FakeDevice(id=4 * (i % 2) + i // 2, process_index=i % 2) for i in range(8)]
    sizes = meshes.resolve(8, replica=-1, fsdp=4, context=1)
    nodes = np.vectorize(lambda device: device.process_index)(meshes.arrange(devices, sizes))
    assert nodes.shape == (2, 4, 1)
    assert nodes[0].ravel().tolist() == [0, 0, 0, 0] and nodes[1].ravel().tolist() == [1, 1, 1, 1]


def test_replica_goes_across_slices():
    devices = [FakeDevice(id=i, process_index=i // 2, slice_index=i % 2) for i in range(8)]
    slices = np.vectorize(lambda device: device.slice_index)
    arranged = slices(meshes.arrange(devices, meshes.resolve(8, replica=4, fsdp=2, context=1)))
    assert arranged[:2].tolist() == [[[0], [0]], [[0], [0]]] and arranged[2:].tolist() == [
        [[1], [1]],
        [[1], [1]],
    ]
    tpus = [dataclasses.replace(device, platform="tpu") for device in devices]
    with pytest.raises(ConfigError, match="make replica a multiple of 2"):
        meshes.arrange(tpus, meshes.resolve(8, replica=1, fsdp=8, context=1))


def test_processes_of_cpus_keep_their_order():
    devices = [
        FakeDevice(id=i, process_index=i // 4, platform="cpu", device_kind="cpu") for i in range(8)
    ]
    arranged = meshes.arrange(devices, meshes.resolve(8, replica=2, fsdp=4, context=1))
    assert [device.id for device in arranged.ravel()] == list(range(8))


def test_sizes_of_meshes_for_pods():
    assert meshes.resolve(64, replica=-1, fsdp=8, context=1) == {
        "replica": 8,
        "fsdp": 8,
        "context": 1,
    }
    assert dict(meshes.abstract(replica=1, fsdp=512, context=2).shape) == {
        "replica": 1,
        "fsdp": 512,
        "context": 2,
    }


def test_a_process_feeds_the_rows_of_its_devices():
    # Process 1 has shards 1 and 3 of four, as on a torus; `context` splits shard 0 between both.
    shards = {
        FakeDevice(0, 0): 0,
        FakeDevice(1, 0): 2,
        FakeDevice(2, 1): 3,
        FakeDevice(3, 1): 1,
        FakeDevice(4, 1): 0,
    }
    indices = {device: (slice(2 * shard, 2 * shard + 2),) for device, shard in shards.items()}
    assert sharding.rows_of(indices, 8, 0).tolist() == [0, 1, 4, 5]
    assert sharding.rows_of(indices, 8, 1).tolist() == [0, 1, 2, 3, 6, 7]


def test_a_single_process_feeds_all_rows_on_every_mesh():
    for sizes in (dict(fsdp=8), dict(replica=2, fsdp=2, context=2), dict(fsdp=1, context=8)):
        where = sharding.batch_sharding(meshes.create(**sizes))
        assert sharding.local_rows(where, 16).tolist() == list(range(16))


def test_images_are_split_in_height_over_context():
    mesh = meshes.create(replica=1, fsdp=2, context=4)
    placed = sharding.place(batch_of(0), sharding.batch_sharding(mesh))
    assert placed["image"].sharding == NamedSharding(
        mesh, PartitionSpec(("replica", "fsdp"), "context")
    )
    assert placed["image"].addressable_shards[0].data.shape == (4, 2, 8, 1)
    assert placed["label"].addressable_shards[0].data.shape == (4,)
    for key, values in batch_of(0).items():
        np.testing.assert_array_equal(placed[key], values)
    meshes.check_height(mesh, 8)
    with pytest.raises(ConfigError, match=r"must divide data\.image_size=6"):
        meshes.check_height(mesh, 6)


def test_a_batch_must_be_divisible():
    mesh = meshes.create(fsdp=8)
    meshes.check_batch(mesh, 16, grad_accum_steps=2)
    with pytest.raises(ConfigError, match="batch_size=12 must be a multiple of 8, such as 8 or 16"):
        meshes.check_batch(mesh, 12)
    with pytest.raises(ConfigError, match="multiple of 16"):
        meshes.check_batch(mesh, 8, grad_accum_steps=2)


def test_the_largest_divisible_dimension_is_split():
    assert sharding.spec_for((3, 3, 64, 128), 8) == PartitionSpec(None, None, None, "fsdp")
    assert sharding.spec_for((3, 3, 128, 60), 8) == PartitionSpec(None, None, "fsdp")
    assert sharding.spec_for((3, 3, 50, 70), 8) == PartitionSpec()
    assert sharding.spec_for((64,), 8) == PartitionSpec()


def test_overrides_select_by_name_and_must_match():
    mesh = meshes.create(fsdp=8)
    state = {"params": {"a.kernel": jax.ShapeDtypeStruct((64, 256), jnp.float32)}}
    chosen = sharding.state_shardings(mesh, state, {r"a\.kernel": ["fsdp", None]})
    assert chosen["params"]["a.kernel"].spec == PartitionSpec("fsdp", None)
    with pytest.raises(ConfigError, match="matches no array"):
        sharding.state_shardings(mesh, state, {"b": [None]})
    with pytest.raises(ConfigError, match="does not divide"):
        sharding.state_shardings(
            mesh, {"a.kernel": jax.ShapeDtypeStruct((63, 2), jnp.float32)}, {"a": ["fsdp"]}
        )


def test_eight_devices_with_a_sharded_state_compute_what_one_does():
    settings = tiny()
    create, update = build.model_factory(settings), build.update(settings)
    results = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = meshes.create(fsdp=-1, devices=devices)
        modeldef, shapes = states.abstract(create, update.optimizer, mesh)
        state = states.initialize(create, update.optimizer, shapes, seed=0)
        batches = [
            sharding.place(batch_of(number), sharding.batch_sharding(mesh)) for number in range(2)
        ]
        step = sharding.lower_step(
            build.step(settings, modeldef, mesh), shapes, batches[0]
        ).compile()
        for batch in batches:
            state, metrics = step(state, batch)
        assert all(
            jax.tree.leaves(
                jax.tree.map(lambda array, shape: array.sharding == shape.sharding, state, shapes)
            )
        )
        # Weights are gathered and gradients summed; activations stay with their examples.
        assert "all-to-all" not in step.as_text() and "collective-permute" not in step.as_text()
        results.append((state, metrics))
    (one, metrics_one), (eight, metrics_eight) = results
    np.testing.assert_allclose(metrics_one["loss"], metrics_eight["loss"], rtol=1e-6)
    name = max(one.params, key=lambda key: one.params[key].size)
    for split in (
        eight.params[name],
        eight.ema[name],
        eight.opt_state[0].mu[name],
        eight.opt_state[0].nu[name],
    ):
        assert split.addressable_shards[0].data.size * 8 == split.size
    for name in one.params:
        np.testing.assert_allclose(one.params[name], eight.params[name], atol=2e-6)
