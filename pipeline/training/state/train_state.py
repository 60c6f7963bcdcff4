"""All that a training run is, as one pytree of arrays: what a checkpoint holds and a step maps to the next."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Int

from pipeline.core import parameters
from pipeline.core.errors import CheckpointError
from pipeline.core.parameters import Arrays, ModelDef
from pipeline.losses import spectral
from pipeline.training.state import sharding


@flax.struct.dataclass
class TrainState:
    """Arrays by name (pipeline.core.parameters); counters are int32 scalars.

    `step` counts batches seen. Of these `skipped` changed nothing; `large_in_a_row` and `nonfinite_in_a_row`
    tell how the last ones went (pipeline.training.update).

    `critic` is the same of a discriminator, whose `step` counts its own updates and whose `ema` is empty; None in a run
    without one.
    """

    step: Int[Array, ""] | Any
    params: Arrays | Any
    ema: Arrays | Any
    other: Arrays | Any
    opt_state: Any
    skipped: Int[Array, ""] | Any
    large_in_a_row: Int[Array, ""] | Any
    nonfinite_in_a_row: Int[Array, ""] | Any
    critic: Any = None


@dataclasses.dataclass(frozen=True)
class Extras:
    """What a training step keeps in the state beside the model.

    `params` are scalars of the objective that are trained with the model's parameters: name, which begins with
    "objective.", and first value. `critic(rngs)` makes the discriminator, `critic_optimizer` is its own, and
    `critic_other` are running values that belong to it: name and first value. `spectral` keeps a direction for each of
    the model's convolutions among its other variables (pipeline.losses.spectral).
    """

    params: Mapping[str, float | int] = dataclasses.field(default_factory=dict)
    critic: Callable[[nnx.Rngs], nnx.Module] | None = None
    critic_optimizer: optax.GradientTransformation | None = None
    critic_other: Mapping[str, float | int] = dataclasses.field(default_factory=dict)
    spectral: bool = False

    def make_critic(self, key: Any) -> tuple[Arrays, Arrays] | None:
        """Its parameters and other variables."""
        if self.critic is None:
            return None
        _, params, other = parameters.split(self.critic(nnx.Rngs(key)))
        return params, other | _scalars(self.critic_other)


NONE = Extras()
# Folded into the seed of a run: the discriminator's weights are another draw than the model's.
_CRITIC = 0x637269


def fresh(
    params: Arrays,
    other: Arrays,
    optimizer: optax.GradientTransformation,
    critic: TrainState | None = None,
    *,
    ema: bool = True,
) -> TrainState:
    """The state before the first step; the EMA starts at the parameters."""

    # A buffer of its own for each counter and the EMA: a donated buffer may appear only once.
    def zero() -> Any:
        return jnp.zeros((), jnp.int32)

    return TrainState(
        step=zero(),
        params=params,
        ema=jax.tree.map(jnp.copy, params) if ema else {},
        other=other,
        opt_state=optimizer.init(params),
        skipped=zero(),
        large_in_a_row=zero(),
        nonfinite_in_a_row=zero(),
        critic=critic,
    )


def abstract(
    create: Any,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | AbstractMesh,
    overrides: Any = None,
    extras: Extras = NONE,
) -> tuple[ModelDef, TrainState]:
    """The model's definition and the state as shapes with shardings, nothing allocated.

    `create(rngs)` makes the model.
    """
    modeldef, params, other = parameters.abstract(lambda: create(nnx.Rngs(0)))
    if extras.spectral:
        other = other | spectral.shapes(modeldef, params, other)

    def start(params: Arrays, other: Arrays) -> TrainState:
        critic = extras.make_critic(jax.random.key(0))
        return fresh(params | _scalars(extras.params), other, optimizer, _fresh_critic(critic, extras))

    state = jax.eval_shape(start, params, other)
    shardings = sharding.state_shardings(mesh, state, overrides)
    shapes = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), state, shardings
    )
    return modeldef, shapes


def _fresh_critic(critic: tuple[Arrays, Arrays] | None, extras: Extras) -> TrainState | None:
    if critic is None or extras.critic_optimizer is None:
        return None
    return fresh(*critic, extras.critic_optimizer, ema=False)


def initialise(
    create: Any, optimizer: optax.GradientTransformation, shapes: TrainState, seed: int, extras: Extras = NONE
) -> TrainState:
    """The first state; no device holds more than its shards.

    The weights are made one by one in the host's memory: equal on every mesh and accelerator, and there in
    seconds, where a program of a VDVAE's thousand initialisers takes XLA minutes to compile.
    """
    with jax.default_device(_host()):
        _, params, other = parameters.split(create(nnx.Rngs(jax.random.key(seed))))
    return from_weights(params, other, optimizer, shapes, seed, extras)


def from_weights(
    params: Mapping[str, Any],
    other: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    shapes: TrainState,
    seed: int = 0,
    extras: Extras = NONE,
) -> TrainState:
    """The state before the first step with these arrays, NumPy's or JAX's, as its weights; `extras` begin afresh.

    Raises:
      CheckpointError: a name or a shape is not the model's.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, dataclasses.replace(shapes, critic=None))
    start = jax.jit(lambda p, o: fresh(p, o, optimizer), out_shardings=shardings, donate_argnums=(0, 1))
    weights = dict(params) | {name: np.float32(value) for name, value in extras.params.items()}
    state = start(_place(weights, shapes.params), _place(spectral.completed(other, shapes.other), shapes.other))
    return state if shapes.critic is None else dataclasses.replace(state, critic=new_critic(extras, shapes, seed))


def new_critic(extras: Extras, shapes: TrainState, seed: int, step: int = 0) -> TrainState:
    """A discriminator before its first update; `step` is the run's, so that each new one is another draw."""
    with jax.default_device(_host()):
        made = extras.make_critic(jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _CRITIC), step))
    assert made is not None
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes.critic)
    start = jax.jit(lambda p, o: _fresh_critic((p, o), extras), out_shardings=shardings, donate_argnums=(0, 1))
    return start(_place(made[0], shapes.critic.params), _place(made[1], shapes.critic.other))


def _place(arrays: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
    if arrays.keys() != wanted.keys():
        raise CheckpointError(f"weights do not fit the model: {sorted(arrays.keys() ^ wanted.keys())[0]}")
    placed = {}
    for name, shape in wanted.items():
        if arrays[name].shape != shape.shape:
            raise CheckpointError(f"weight {name} is {arrays[name].shape}, and the model's {shape.shape}")
        host = np.asarray(arrays[name], shape.dtype)
        placed[name] = jax.make_array_from_callback(host.shape, shape.sharding, host.__getitem__)
    return placed


def _scalars(values: Mapping[str, float | int]) -> Arrays:
    return {name: jnp.full((), value, jnp.float32) for name, value in values.items()}


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS may leave out the CPU
        return jax.local_devices()[0]
