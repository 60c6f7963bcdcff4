"""The model of a run, as it was trained: what evaluates, samples and exports starts from."""

import os
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError
from pipeline.training import workdir as workdirs
from pipeline.training.checkpoints.store import Checkpoints


def load_for_inference(
    workdir: str | os.PathLike[str], step: int | None = None, ema: bool = True
) -> tuple[dict[str, Any], int, Any]:
    """(config, step, model) of a run's checkpoint, the newest by default, with its EMA weights or the last ones.

    Raises:
      ConfigError: the folder holds no run. CheckpointError: there is no such checkpoint, or it does not load.
    """
    config = workdirs.load(workdir)
    checkpoints = Checkpoints(workdirs.checkpoint_folder(workdir, config))
    step = checkpoints.latest() if step is None else step
    if step is None:
        raise CheckpointError(f"{workdir} has no checkpoint yet")
    modeldef, params, model_state = parameters.abstract(
        lambda: models.create(config["model"], rngs=nnx.Rngs(0), dtype=jnp.dtype(config["dtype"]))
    )
    weights = jax.device_put(checkpoints.weights(step, params, model_state, ema=ema))
    return config, step, modeldef.merge(weights["params"], weights["model_state"])
