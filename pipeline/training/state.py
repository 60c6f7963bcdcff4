"""All that a training run is, as one pytree of arrays: what a checkpoint holds and a step maps to the next."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Int

from pipeline import parameters
from pipeline.errors import CheckpointError
from pipeline.parameters import Arrays, ModelDef
from pipeline.training import sharding


@flax.struct.dataclass
class TrainState:
    """Arrays by name (pipeline.parameters); counters are int32 scalars.

    `step` counts batches seen. Of these `skipped` changed nothing; `large_in_a_row` and `nonfinite_in_a_row`
    tell how the last ones went (pipeline.training.steps.update).
    """

    step: Int[Array, ""] | Any
    params: Arrays | Any
    ema: Arrays | Any
    other: Arrays | Any
    opt_state: Any
    skipped: Int[Array, ""] | Any
    large_in_a_row: Int[Array, ""] | Any
    nonfinite_in_a_row: Int[Array, ""] | Any


def fresh(params: Arrays, other: Arrays, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; the EMA starts at the parameters."""

    # A buffer of its own for each counter and the EMA: a donated buffer may appear only once.
    def zero() -> Any:
        return jnp.zeros((), jnp.int32)

    return TrainState(
        step=zero(),
        params=params,
        ema=jax.tree.map(jnp.copy, params),
        other=other,
        opt_state=optimizer.init(params),
        skipped=zero(),
        large_in_a_row=zero(),
        nonfinite_in_a_row=zero(),
    )


def abstract(
    create: Any, optimizer: optax.GradientTransformation, mesh: Mesh | AbstractMesh, overrides: Any = None
) -> tuple[ModelDef, TrainState]:
    """The model's definition and the state as shapes with shardings, nothing allocated.

    `create(rngs)` makes the model.
    """
    modeldef, params, other = parameters.abstract(lambda: create(nnx.Rngs(0)))
    state = jax.eval_shape(lambda p, o: fresh(p, o, optimizer), params, other)
    shardings = sharding.state_shardings(mesh, state, overrides)
    shapes = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), state, shardings
    )
    return modeldef, shapes


def initialise(create: Any, optimizer: optax.GradientTransformation, shapes: TrainState, seed: int) -> TrainState:
    """The first state; no device holds more than its shards.

    The weights are made one by one in the host's memory: equal on every mesh and accelerator, and there in
    seconds, where a program of a VDVAE's thousand initialisers takes XLA minutes to compile.
    """
    with jax.default_device(_host()):
        _, params, other = parameters.split(create(nnx.Rngs(jax.random.key(seed))))
    return from_weights(params, other, optimizer, shapes)


def from_weights(
    params: Mapping[str, Any], other: Mapping[str, Any], optimizer: optax.GradientTransformation, shapes: TrainState
) -> TrainState:
    """The state before the first step with these arrays, NumPy's or JAX's, as its weights.

    Raises:
      CheckpointError: a name or a shape is not the model's.
    """

    def place(arrays: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
        if arrays.keys() != wanted.keys():
            raise CheckpointError(f"weights do not fit the model: {sorted(arrays.keys() ^ wanted.keys())[0]}")
        placed = {}
        for name, shape in wanted.items():
            if arrays[name].shape != shape.shape:
                raise CheckpointError(f"weight {name} is {arrays[name].shape}, and the model's {shape.shape}")
            host = np.asarray(arrays[name], shape.dtype)
            placed[name] = jax.make_array_from_callback(host.shape, shape.sharding, host.__getitem__)
        return placed

    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    start = jax.jit(lambda p, o: fresh(p, o, optimizer), out_shardings=shardings, donate_argnums=(0, 1))
    return start(place(params, shapes.params), place(other, shapes.other))


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS may leave out the CPU
        return jax.local_devices()[0]
