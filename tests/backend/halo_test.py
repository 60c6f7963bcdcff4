"""Halo exchange: layers on images split in height equal the layers on whole images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.backend import target
from pipeline.backend.halo import with_halo_exchange


def shift_and_add(weights, x):
    """Sum each row, its predecessor and its successor, with zeros beyond the edges."""
    padded = jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0)])
    return weights * (padded[:, :-2] + 2 * padded[:, 1:-1] + 3 * padded[:, 2:])


def extend_and_add(weights, x, mode="edge"):
    """Do the same with copies of the edge rows beyond the edges, or what `mode` puts there."""
    padded = jnp.pad(x, [(0, 0), (1, 1), (0, 0), (0, 0)], mode=mode)
    return weights * (padded[:, :-2] + 2 * padded[:, 1:-1] + 3 * padded[:, 2:])


mirror_and_add = functools.partial(extend_and_add, mode="reflect")


# Two rows on four devices are fewer than the devices: each then computes all rows.
@pytest.mark.parametrize("height", [8, 4, 2])
@pytest.mark.parametrize(
    "layer, edges",
    [(shift_and_add, "zeros"), (extend_and_add, "replicate"), (mirror_and_add, "reflect")],
    ids=["zeros", "replicate", "reflect"],
)
def test_values_and_gradients_match_one_device(height, layer, edges):
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(1, 1, 4), ("replica", "fsdp", "context"))
    x = jax.random.normal(jax.random.key(0), (2, height, 3, 1))
    weights = jnp.float32(0.7)

    def loss(weights, x):
        out = with_halo_exchange(layer, weights, x, halo=1, edges=edges)
        return jnp.sin(out).sum()

    compute = jax.value_and_grad(loss, (0, 1))
    expected = jax.jit(compute)(weights, x)
    spec = PartitionSpec(None, "context") if height >= 4 else PartitionSpec()
    split = jax.device_put(x, NamedSharding(mesh, spec))
    with target.compiling_for(mesh=mesh):
        found = jax.jit(compute)(weights, split)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )
