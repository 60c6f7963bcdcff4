"""Mesh sizes, what is split over fsdp, and that one device and eight compute the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from tiny_run import batch_of, tiny

from pipeline import build
from pipeline.errors import ConfigError
from pipeline.training import mesh as meshes
from pipeline.training import sharding
from pipeline.training import state as states


def test_one_axis_takes_the_devices_that_are_left():
    assert dict(meshes.create(replica=2, fsdp=-1, context=1).shape) == {"replica": 2, "fsdp": 4, "context": 1}


@pytest.mark.parametrize("sizes", [dict(fsdp=3), dict(replica=-1, fsdp=-1), dict(fsdp=0), dict(replica=16, fsdp=-1)])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ConfigError, match="mesh"):
        meshes.create(**sizes)


def test_a_batch_must_divide():
    mesh = meshes.create(fsdp=8)
    meshes.check_batch(mesh, 16, accumulate=2)
    with pytest.raises(ConfigError, match="batch_size=12 must be a multiple of 8"):
        meshes.check_batch(mesh, 12)
    with pytest.raises(ConfigError, match="multiple of 16"):
        meshes.check_batch(mesh, 8, accumulate=2)


def test_the_largest_divisible_dimension_is_split():
    assert sharding.spec_for((3, 3, 64, 128), 8) == PartitionSpec(None, None, None, "fsdp")
    assert sharding.spec_for((3, 3, 128, 60), 8) == PartitionSpec(None, None, "fsdp")
    assert sharding.spec_for((3, 3, 50, 70), 8) == PartitionSpec()
    assert sharding.spec_for((64,), 8) == PartitionSpec()


def test_overrides_choose_by_name_and_must_match():
    mesh = meshes.create(fsdp=8)
    state = {"params": {"a.kernel": jax.ShapeDtypeStruct((64, 256), jnp.float32)}}
    chosen = sharding.state_shardings(mesh, state, {r"a\.kernel": ["fsdp", None]})
    assert chosen["params"]["a.kernel"].spec == PartitionSpec("fsdp", None)
    with pytest.raises(ConfigError, match="matches no array"):
        sharding.state_shardings(mesh, state, {"b": [None]})
    with pytest.raises(ConfigError, match="does not divide"):
        sharding.state_shardings(mesh, {"a.kernel": jax.ShapeDtypeStruct((63, 2), jnp.float32)}, {"a": ["fsdp"]})


def test_eight_devices_compute_what_one_does_with_the_state_in_eight_parts():
    settings = tiny()
    create, update = build.model_maker(settings), build.update(settings)
    results = []
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = meshes.create(fsdp=-1, devices=devices)
        modeldef, shapes = states.abstract(create, update.optimizer, mesh)
        state = states.initialise(create, update.optimizer, shapes, seed=0)
        batches = [sharding.place(batch_of(number), sharding.batch_sharding(mesh)) for number in range(2)]
        step = sharding.lower_step(build.step(settings, modeldef, mesh), shapes, batches[0]).compile()
        for batch in batches:
            state, metrics = step(state, batch)
        assert all(jax.tree.leaves(jax.tree.map(lambda array, shape: array.sharding == shape.sharding, state, shapes)))
        # Weights come together and gradients are summed; activations stay where their examples are.
        assert "all-to-all" not in step.as_text() and "collective-permute" not in step.as_text()
        results.append((state, metrics))
    (one, metrics_one), (eight, metrics_eight) = results
    np.testing.assert_allclose(metrics_one["loss"], metrics_eight["loss"], rtol=1e-6)
    name = max(one.params, key=lambda key: one.params[key].size)
    for split in (eight.params[name], eight.ema[name], eight.opt_state[0].mu[name], eight.opt_state[0].nu[name]):
        assert split.addressable_shards[0].data.size * 8 == split.size
    for name in one.params:
        np.testing.assert_allclose(one.params[name], eight.params[name], atol=2e-6)
