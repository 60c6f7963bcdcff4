"""A recipe's `:tiny` training step on noise, compiled once per process and number of devices."""

import functools
import math
import pathlib
import runpy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from noise_batch import noise_batch

from pipeline import build
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states

RECIPES = pathlib.Path(__file__).parents[2] / "configs"


def settings(recipe: str, arg: str = "tiny") -> dict[str, Any]:
    """Return the complete recipe configs/`recipe`, by default its `:tiny`."""
    return build.complete(runpy.run_path(str(RECIPES / recipe))["get_config"](arg))


def program_of(step: Any, shapes: Any, batch: Any, number: int = 0) -> jax.stages.Compiled:
    """Compile step `number` as a run does, so that tests and runs of a recipe share one program."""
    program = step.program(step.variant(number))
    return sharding.lower_step(program, shapes, batch, step.frozen).compile()


@functools.cache
def compiled(recipe: str, devices: int):
    """Return the first state, its shapes, and step(state, batch number), sharded over fsdp."""
    mesh = meshes.create(fsdp=devices, devices=jax.devices()[:devices])
    config = settings(recipe)
    config["batch_size"] = math.lcm(config["batch_size"], 8)  # a share for each of the devices
    create, update, extras = build.model_factory(config), build.update(config), build.extras(config)
    modeldef, shapes = states.abstract(create, update.optimizer, mesh, config["sharding"], extras)
    state = states.initialize(create, update.optimizer, shapes, 0, extras)
    where = sharding.batch_sharding(mesh)

    def batch(number: int) -> Any:
        noise = noise_batch(config, number)
        return sharding.place(noise | {"label": noise["index"] % 3 - 1}, where)

    step = build.step(config, modeldef, mesh)
    program = program_of(step, shapes, batch(0))
    keep = jax.tree.map(np.asarray, state)
    again = jax.tree.map(lambda array, shape: jax.device_put(array, shape.sharding), keep, shapes)
    return again, shapes, lambda state, number: program(state, batch(number), step.frozen)


def run(recipe: str, devices: int, steps: int):
    """Return the state and the metrics of the last step."""
    state, _, step = compiled(recipe, devices)
    state = jax.tree.map(jnp.copy, state)
    for number in range(steps):
        state, metrics = step(state, number)
    return state, metrics


def run_with_a_break(recipe: str, folder: pathlib.Path):
    """Return the state after three steps, restored from a checkpoint after the first."""
    half, _ = run(recipe, 1, 1)
    _, shapes, step = compiled(recipe, 1)
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, half, {}, {})
    checkpoints.wait()
    found = checkpoints.restore_newest(shapes, lambda saved, step: None)
    checkpoints.close()
    assert found is not None and found[0] == 1
    state = found[1]
    for number in (1, 2):
        state, _ = step(state, number)
    return state
