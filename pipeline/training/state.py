"""All that a training run is, as one pytree of arrays: what a checkpoint holds and a step maps to the next."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Int

from pipeline import parameters
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
    create: Any, optimizer: optax.GradientTransformation, mesh: Mesh, overrides: Any = None
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
    """The first state, made in place: each device computes its own shards."""

    def make(key: jax.Array) -> TrainState:
        _, params, other = parameters.split(create(nnx.Rngs(key)))
        return fresh(params, other, optimizer)

    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    return jax.jit(make, out_shardings=shardings)(jax.random.key(seed))
