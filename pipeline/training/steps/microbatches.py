"""Parts shared by the training steps: gradient accumulation, parameter gathering, metric means."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pipeline.backend import target
from pipeline.core.parameters import Arrays
from pipeline.core.reduce import masked_mean
from pipeline.core.types import Batch
from pipeline.training.steps import row_keys

# (the model's other variables, microbatch, key) -> (gradients, metrics, other variables)
Gradients = Callable[[Arrays, Batch, PRNGKeyArray], tuple[Any, dict[str, Array], Arrays]]


def accumulate(
    gradients_of: Gradients,
    model_state: Arrays,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    like: Any,
    steps: int,
) -> tuple[Any, dict[str, Array], Arrays]:
    """Return the mean gradients and metrics over `steps` microbatches, differentiated in turn.

    Activations take the memory of one microbatch. Each example has the noise that it has in the
    whole batch (`row_keys`), so that the result does not depend on `steps`, up to rounding. What
    does depend on it is what a model or a loss computes from the set of examples that it sees at
    once: the statistics of batch normalization, means over the batch in losses that are not linear
    in them (objective.free_bits, balanced_rate, capacity, total_correlation and others), and
    codebook usage. The model's other variables (running statistics, codebooks) pass from one
    microbatch to the next.

    Args:
      gradients_of: differentiates one microbatch.
      model_state: the model's other variables before the step.
      batch: the whole batch.
      key: the step's key, a threefry key.
      like: arrays in the structure of the gradients.
      steps: number of microbatches, which divides the batch.
    """
    if steps == 1:
        return gradients_of(model_state, batch, key)
    # Microbatch i takes every `steps`-th row, so that each device cuts the rows that it holds.
    microbatches = jax.tree.map(
        lambda rows: jnp.moveaxis(rows.reshape(-1, steps, *rows.shape[1:]), 1, 0), batch
    )

    def add(carry: Any, microbatch: Batch) -> tuple[Any, dict[str, Array]]:
        total, model_state, index = carry
        own_key = row_keys.of_microbatch(key, index, rows=len(microbatch["mask"]), steps=steps)
        gradients, metrics, model_state = gradients_of(model_state, microbatch, own_key)
        return (jax.tree.map(jnp.add, total, gradients), model_state, index + 1), metrics

    start = (jax.tree.map(jnp.zeros_like, like), model_state, jnp.zeros((), jnp.int32))
    # XLA runs convolutions inside a loop on one thread on the CPU, so the loop is unrolled there.
    unroll = steps if target.backend() == "cpu" else 1
    (total, model_state, _), metrics = jax.lax.scan(add, start, microbatches, unroll=unroll)
    gradients = jax.tree.map(lambda g: g / steps, total)
    return gradients, jax.tree.map(lambda values: values.mean(axis=0), metrics), model_state


def key_of(seed: int, step: Array) -> PRNGKeyArray:
    """Return the key of all noise of a step."""
    return jax.random.fold_in(jax.random.key(seed, impl=row_keys.THREEFRY), step)


def gather(arrays: Arrays, where: jax.sharding.Sharding | None) -> Arrays:
    """Return sharded parameters as a whole on every device; unchanged if `where` is None.

    Devices then share out the batch and nothing else. Left alone, XLA lets the sharding of some
    kernels spread to the activations, and reshuffles those.
    """
    return arrays if where is None else jax.lax.with_sharding_constraint(arrays, where)


def masked_means(values: Mapping[str, Array], mask: Array) -> dict[str, Array]:
    """Return the mean of each named value over a batch: of [b], or of [b l] for each l.

    Scalars are returned as they are.
    """

    def mean(value: Array) -> Array:
        if value.ndim < 2:
            return masked_mean(value, mask) if value.ndim else value
        return jax.vmap(masked_mean, (1, None))(value, mask)

    return {name: mean(value) for name, value in values.items()}
