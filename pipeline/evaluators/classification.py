"""Evaluation of a model that infers the class of an example, such as M2."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.backend.jit import jit
from pipeline.core.types import Batch
from pipeline.metrics.functions.average import masked_sum


def evaluate(
    model: Any,
    batches: Iterable[Batch],
    *,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, float]:
    """Return the classification_error of a set; nothing for a set without labels.

    Args:
      model: a model with `classify`, which returns log q(y | x).
      batches: host batches, with their masks.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding for the sums, so that every process can read them.
    """
    graph, state = nnx.split(model)
    wrong, count = 0.0, 0.0
    for batch in batches:
        sums = _sums(graph, replicated, state, place(batch))
        wrong, count = wrong + float(sums[0]), count + float(sums[1])
    return {"classification_error": wrong / count} if count else {}


@functools.partial(jit, static_argnums=(0, 1), what="the evaluation of the classes")
def _sums(
    graph: nnx.GraphDef, replicated: jax.sharding.Sharding | None, state: Any, batch: Batch
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return how many labelled examples are classified wrongly, and how many there are."""
    model: Any = nnx.merge(graph, state)
    found, label = model.classify(batch["image"]).argmax(axis=-1), batch["label"]
    labelled = (label >= 0).astype(jnp.float32)
    wrong = labelled * (found != label)
    sums = masked_sum(wrong, batch["mask"]), masked_sum(labelled, batch["mask"])
    if replicated is None:
        return sums
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, replicated), sums)
