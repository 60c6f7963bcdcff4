"""Depthwise convolution with the height split over devices (lowerings: backend/depthwise_test)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.backend import target
from pipeline.nn.depthwise import depthwise_convolve


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def test_splitting_the_height_changes_neither_values_nor_gradients():
    mesh = Mesh(np.array(jax.devices()[:4]).reshape(1, 2, 2), ("replica", "fsdp", "context"))
    x, kernel = normal(0, 2, 8, 4, 3), normal(1, 5, 5, 1, 3)

    def loss(kernel, x):
        return jnp.square(depthwise_convolve(x, kernel)).sum()

    expected = jax.jit(jax.value_and_grad(loss))(kernel, x)
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec(("replica", "fsdp"), "context")))
    with target.compiling_for("cpu", mesh=mesh):
        got = jax.jit(jax.value_and_grad(loss))(kernel, split)
    for a, b in zip(got, expected):
        np.testing.assert_allclose(a, b, rtol=1e-4)
