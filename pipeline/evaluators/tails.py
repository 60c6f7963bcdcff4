"""Evaluation of the tails of vectors: quantiles of a model's draws next to those of the data."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.jit import jit
from pipeline.core.errors import DataError
from pipeline.core.types import Batch
from pipeline.metrics import catalogue

LEVELS = (0.5, 0.9, 0.99, 0.999)


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Compare quantiles of a set with those of as many draws from the prior.

    Args:
      model: any model of vectors.
      batches: host batches of vectors, with their masks.
      key: for the draws.
      place, replicated: as in pipeline.evaluators.likelihood.

    Returns:
      "tails": LEVELS, and for each level the quantile of each number of the data ("data") and of
      the draws ("samples"), and "quantile_error", the mean absolute difference of the logarithms of
      1 + |quantile|, over all levels and numbers, which is that of logarithms in the tails.

    Raises:
      DataError: there are no examples.
    """
    graph, state = nnx.split(model)
    data, drawn = [], []
    for number, batch in enumerate(batches):
        batch = place(batch)
        pair = _pair(graph, replicated, state, batch, jax.random.fold_in(key, number))
        used = np.asarray(pair[2]) > 0
        data.append(np.asarray(pair[0])[used])
        drawn.append(np.asarray(pair[1])[used])
    if not data or not sum(map(len, data)):
        raise DataError("evaluation: there is no example to evaluate on")
    of_data, of_draws = (
        np.quantile(np.concatenate(each).astype(np.float64), LEVELS, axis=0)
        for each in (data, drawn)
    )
    result = {
        "quantile_error": float(np.abs(_log(of_data) - _log(of_draws)).mean()),
        "levels": list(LEVELS),
        "data": of_data.tolist(),
        "samples": of_draws.tolist(),
    }
    return {
        "tails": result,
        "num_examples": sum(map(len, data)),
        "protocol": catalogue.protocol(["tails.quantile_error"]),
    }


def _log(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


@functools.partial(jit, static_argnums=(0, 1), what="the evaluation of the tails")
def _pair(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[Float[Array, "b d"], Float[Array, "b d"], Float[Array, " b"]]:
    """Return the vectors of a batch, as many draws, and the mask, whole on every device."""
    model: Any = nnx.merge(graph, state)
    of_latents, of_values = jax.random.split(key)
    likelihood = model.decode((), num=len(batch["mask"]), key=of_latents)
    found = batch["vector"], likelihood.sample(of_values), batch["mask"]
    if replicated is None:
        return found
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, replicated), found)
