"""The model of a run as trained, for evaluation, sampling and export."""

import os
from typing import Any

import jax
from flax import nnx

from pipeline.build.model import model_factory
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError
from pipeline.training import workdir as workdirs
from pipeline.training.checkpoints.store import Checkpoints


def load_for_inference(
    workdir: str | os.PathLike[str], step: int | None = None, ema: bool = True
) -> tuple[dict[str, Any], int, Any]:
    """Load (config, step, model) from a run's checkpoint.

    Args:
      step: the newest checkpoint by default.
      ema: whether to load the EMA weights instead of the last ones.

    Raises:
      ConfigError: the folder holds no run.
      CheckpointError: there is no such checkpoint, or it does not load.
    """
    config = workdirs.load(workdir)
    checkpoints = Checkpoints(workdirs.checkpoint_folder(workdir, config["checkpoint"]["folder"]))
    step = checkpoints.latest() if step is None else step
    if step is None:
        raise CheckpointError(f"{workdir} has no checkpoint yet: strata train makes one")
    create = model_factory(config)
    modeldef, params, model_state = parameters.abstract(lambda: create(nnx.Rngs(0)))
    weights = jax.device_put(checkpoints.weights(step, params, model_state, ema=ema))
    return config, step, modeldef.merge(weights["params"], weights["model_state"])
