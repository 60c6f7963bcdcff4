"""The training state: the pytree of arrays that a step maps to the next and a checkpoint holds."""

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
from pipeline.training.state.trainable import ALL, Trainable


@flax.struct.dataclass
class TrainState:
    """Arrays by name (pipeline.core.parameters), and counters, which are int32 scalars.

    Attributes:
      step: the number of batches seen.
      params: all of the model's parameters, also those that are frozen.
      ema: averages of the trained parameters.
      opt_state: the optimizer's state for the trained parameters.
      model_state: the model's variables that are not parameters.
      skipped: how many of these batches changed nothing.
      consecutive_large_grads, consecutive_nonfinite: how many of the last batches had a large or a
        non-finite gradient in a row (pipeline.training.update).
      discriminator: the TrainState of the discriminator, or None without one. Its `step` counts its
        own updates; its `ema` is empty.
    """

    step: Int[Array, ""] | Any
    params: Arrays | Any
    ema: Arrays | Any
    model_state: Arrays | Any
    opt_state: Any
    skipped: Int[Array, ""] | Any
    consecutive_large_grads: Int[Array, ""] | Any
    consecutive_nonfinite: Int[Array, ""] | Any
    discriminator: Any = None

    @property
    def averaged(self) -> Arrays:
        """All parameters: the averages, and the frozen ones, which have none."""
        return self.params | self.ema


@dataclasses.dataclass(frozen=True)
class Extras:
    """Contents of the training state besides the model.

    Attributes:
      params: numbers and arrays of the objective that are trained with the model's parameters:
        initial value by name; names begin with "objective.".
      discriminator: creates the discriminator from its random streams.
      discriminator_state: running values that belong to the discriminator: initial value by name.
      spectral: whether model_state holds a direction for each of the model's convolutions
        (pipeline.losses.spectral).
      trainable: which arrays of the model are trained.
    """

    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    discriminator: Callable[[nnx.Rngs], nnx.Module] | None = None
    discriminator_optimizer: optax.GradientTransformation | None = None
    discriminator_state: Mapping[str, float | int] = dataclasses.field(default_factory=dict)
    spectral: bool = False
    trainable: Trainable = ALL

    def make_discriminator(self, key: Any) -> tuple[Arrays, Arrays] | None:
        """Return the discriminator's parameters and other variables, or None without one."""
        if self.discriminator is None:
            return None
        _, params, model_state = parameters.split(self.discriminator(nnx.Rngs(key)))
        return params, model_state | _arrays(self.discriminator_state)


NONE = Extras()
# Folded into a run's seed, so that the discriminator's weights are independent of the model's.
_DISCRIMINATOR = 0x637269


def fresh(
    params: Arrays,
    model_state: Arrays,
    optimizer: optax.GradientTransformation,
    discriminator: TrainState | None = None,
    *,
    ema: bool = True,
    trainable: Trainable = ALL,
) -> TrainState:
    """Return the state before the first step; the EMA starts at the parameters."""
    trained, _ = trainable.split(params)

    # Each counter and the EMA get their own buffers, because a donated buffer may appear only once.
    def zero() -> Any:
        return jnp.zeros((), jnp.int32)

    return TrainState(
        step=zero(),
        params=params,
        ema=jax.tree.map(jnp.copy, trained) if ema else {},
        model_state=model_state,
        opt_state=optimizer.init(trained),
        skipped=zero(),
        consecutive_large_grads=zero(),
        consecutive_nonfinite=zero(),
        discriminator=discriminator,
    )


def abstract(
    create: Any,
    optimizer: optax.GradientTransformation,
    mesh: Mesh | AbstractMesh,
    overrides: Any = None,
    extras: Extras = NONE,
) -> tuple[ModelDef, TrainState]:
    """Return the model's definition, and the state as shapes with shardings; allocates nothing.

    Args:
      create: creates the model from its random streams.
      overrides: see `sharding.state_shardings`.
    """
    modeldef, params, model_state = parameters.abstract(lambda: create(nnx.Rngs(0)))
    extras.trainable.check(params)
    if extras.spectral:
        model_state = model_state | spectral.shapes(modeldef, params, model_state)

    def start(params: Arrays, model_state: Arrays) -> TrainState:
        discriminator = extras.make_discriminator(jax.random.key(0))
        return fresh(
            params | _arrays(extras.params),
            model_state,
            optimizer,
            _fresh_discriminator(discriminator, extras),
            trainable=extras.trainable,
        )

    state = jax.eval_shape(start, params, model_state)
    shardings = sharding.state_shardings(mesh, state, overrides)
    shapes = jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        state,
        shardings,
    )
    return modeldef, shapes


def _fresh_discriminator(
    discriminator: tuple[Arrays, Arrays] | None, extras: Extras
) -> TrainState | None:
    if discriminator is None or extras.discriminator_optimizer is None:
        return None
    return fresh(*discriminator, extras.discriminator_optimizer, ema=False)


def initialize(
    create: Any,
    optimizer: optax.GradientTransformation,
    shapes: TrainState,
    seed: int,
    extras: Extras = NONE,
    *,
    given: Mapping[str, Any] | None = None,
) -> TrainState:
    """Return the state before the first step; no device holds more than its shards.

    Arrays that are `given` by name take the place of those that would be drawn. The weights are
    drawn one by one in host memory. They are therefore equal on every mesh and accelerator, and
    ready in seconds, whereas XLA takes minutes to compile a program with the thousand initializers
    of a VDVAE.
    """
    with jax.default_device(_host()):
        _, params, model_state = parameters.split(create(nnx.Rngs(jax.random.key(seed))))
    given = given or {}
    params, model_state = (
        {name: given.get(name, array) for name, array in arrays.items()}
        for arrays in (params, model_state)
    )
    return from_weights(params, model_state, optimizer, shapes, seed, extras)


def from_weights(
    params: Mapping[str, Any],
    model_state: Mapping[str, Any],
    optimizer: optax.GradientTransformation,
    shapes: TrainState,
    seed: int = 0,
    extras: Extras = NONE,
) -> TrainState:
    """Return the state before the first step with these NumPy or JAX arrays as its weights.

    `extras` are newly initialized.

    Raises:
      CheckpointError: a name or a shape is not the model's.
    """
    shardings = jax.tree.map(
        lambda leaf: leaf.sharding, dataclasses.replace(shapes, discriminator=None)
    )
    start = jax.jit(
        lambda p, o: fresh(p, o, optimizer, trainable=extras.trainable),
        out_shardings=shardings,
        donate_argnums=(0, 1),
    )
    weights = dict(params) | {
        name: np.asarray(value, np.float32) for name, value in extras.params.items()
    }
    state = start(
        _place(weights, shapes.params),
        _place(spectral.completed(model_state, shapes.model_state), shapes.model_state),
    )
    return (
        state
        if shapes.discriminator is None
        else dataclasses.replace(state, discriminator=new_discriminator(extras, shapes, seed))
    )


def new_discriminator(extras: Extras, shapes: TrainState, seed: int, step: int = 0) -> TrainState:
    """Return a discriminator before its first update.

    Args:
      step: the run's step, so that each new discriminator is a different draw.
    """
    with jax.default_device(_host()):
        made = extras.make_discriminator(
            jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), _DISCRIMINATOR), step)
        )
    assert made is not None
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes.discriminator)
    start = jax.jit(
        lambda p, o: _fresh_discriminator((p, o), extras),
        out_shardings=shardings,
        donate_argnums=(0, 1),
    )
    return start(
        _place(made[0], shapes.discriminator.params),
        _place(made[1], shapes.discriminator.model_state),
    )


def _place(arrays: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, jax.Array]:
    if arrays.keys() != wanted.keys():
        raise CheckpointError(
            f"weights do not fit the model: {sorted(arrays.keys() ^ wanted.keys())[0]}"
        )
    placed = {}
    for name, shape in wanted.items():
        if arrays[name].shape != shape.shape:
            raise CheckpointError(
                f"weight {name} has shape {arrays[name].shape}, and the model's {shape.shape}"
            )
        host = np.asarray(arrays[name], shape.dtype)
        placed[name] = jax.make_array_from_callback(host.shape, shape.sharding, host.__getitem__)
    return placed


def _arrays(values: Mapping[str, Any]) -> Arrays:
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS may exclude the CPU
        return jax.local_devices()[0]
