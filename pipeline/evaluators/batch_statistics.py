"""Re-estimation of batch norm statistics for sampling.

Samples at low temperatures have other statistics than training. NVAE (2007.03898, section 3.1 and
appendix) re-estimates them before it samples; otherwise colours shift.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, PRNGKeyArray

from pipeline.backend.jit import jit
from pipeline.core import progress
from pipeline.evaluators.pictures import Temperature


def reestimated(
    model: Any,
    *,
    num: int,
    passes: int,
    key: PRNGKeyArray,
    temperature: Temperature = 1.0,
    condition: Mapping[str, Any] | None = None,
) -> Any:
    """Return the model with batch norm statistics of its own samples.

    They are means over `passes` batches of `num` samples from the prior. The model must have batch
    norm (`has_statistics`); `condition` holds the samples' `label`, int32 [num]. Parameters, and
    statistics that sampling does not use, stay the same. The n-th pass moves statistics by 1 / n,
    so that all passes count equally; the authors move them by 0.05.
    """
    graph, state = nnx.split(model)
    for number in progress.track(range(passes), "re-estimating batch norm", passes, "passes"):
        share = jnp.asarray(1 / (number + 1), jnp.float32)
        state = _pass(
            graph, num, temperature, state, jax.random.fold_in(key, number), share, condition or {}
        )
    return nnx.merge(graph, state)


def has_statistics(model: Any) -> bool:
    """Return whether sampling from the model normalizes by running statistics."""
    takes = "momentum" in inspect.signature(model.generate).parameters
    return takes and bool(jax.tree.leaves(nnx.state(model, nnx.BatchStat)))


@functools.partial(jit, static_argnums=(0, 1, 2), what="sampling")
def _pass(
    graph: nnx.GraphDef,
    num: int,
    temperature: Temperature,
    state: Any,
    key: PRNGKeyArray,
    share: Array,
    condition: Mapping[str, Any],
) -> Any:
    model: Any = nnx.merge(graph, state)
    model.decode((), num=num, key=key, temperature=temperature, momentum=share, **condition)
    return nnx.state(model)
