"""A small random training state, sharded over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states


def make_state(
    seed: int = 0, devices: int = 8, width: int = 64, optimizer=None
) -> states.TrainState:
    """Return random arrays, large ones sharded; the model state and parts of optax's are empty."""
    random = np.random.default_rng(seed)
    shapes = {
        "a.kernel": (3, 3, 8, width),
        "a.bias": (width,),
        "b.kernel": (width, 128),
        "b.scale": (),
    }
    params = {
        name: jnp.asarray(random.standard_normal(shape), jnp.float32)
        for name, shape in shapes.items()
    }
    optimizer = optimizer or optax.chain(optax.clip(1.0), optax.adamw(1e-3))
    state = states.fresh(params, {}, optimizer).replace(step=jnp.int32(seed))
    state = state.replace(ema={name: array / 3 for name, array in params.items()})
    return jax.device_put(
        state, sharding.state_shardings(meshes.create(devices=jax.devices()[:devices]), state)
    )


def shapes_of(state: states.TrainState) -> states.TrainState:
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def assert_same(left: states.TrainState, right: states.TrainState) -> None:
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y), strict=True),
        left,
        right,
    )
