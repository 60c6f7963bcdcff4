"""Evaluation of what the latents of a model of text hold: sentences that are written again."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PRNGKeyArray

from pipeline.backend.jit import jit
from pipeline.core.errors import DataError
from pipeline.core.modalities import PADDING
from pipeline.core.types import Batch
from pipeline.metrics import catalogue
from pipeline.metrics.functions.average import Averages, masked_sum

NAMES = ("token_accuracy", "sentence_accuracy")


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Compare sentences with those that greedy decoding writes from their posterior means.

    Args:
      model: any model of text.
      batches: host batches of tokens, with their masks.
      key: unused, since nothing is drawn.
      place, replicated: as in pipeline.evaluators.likelihood.

    Returns:
      "token_accuracy", the share of a sentence's places, its end included, that have the right
      token, "sentence_accuracy", the share of sentences that are right as a whole, num_examples and
      protocol.

    Raises:
      DataError: there are no examples.
    """
    del key
    graph, state = nnx.split(model)
    averages = Averages()
    for batch in batches:
        sums, count = _sums(graph, replicated, state, place(batch))
        averages.add(sums, count)
    if not averages.count:
        raise DataError("evaluation: there is no example to evaluate on")
    result = {name: float(averages.mean(name)) for name in NAMES}
    return result | dict(num_examples=averages.count, protocol=catalogue.protocol(NAMES))


@functools.partial(jit, static_argnums=(0, 1), what="the evaluation of sentences")
def _sums(
    graph: nnx.GraphDef, replicated: jax.sharding.Sharding | None, state: Any, batch: Batch
) -> tuple[dict[str, Array], Array]:
    model: Any = nnx.merge(graph, state)
    tokens, mask = batch["text"], batch["mask"]
    written = model.decode([latent.z for latent in model.encode(tokens)]).mean()
    used, same = tokens != PADDING, written == tokens
    shares = (same & used).sum(axis=-1) / jnp.maximum(used.sum(axis=-1), 1)
    values = (shares, same.all(axis=-1).astype(jnp.float32))
    sums = {name: masked_sum(value, mask) for name, value in zip(NAMES, values, strict=True)}
    found = sums, masked_sum(jnp.ones_like(mask), mask)
    if replicated is None:
        return found
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, replicated), found)
