"""Evaluation of how well posterior means separate the factors that images were made from."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pipeline.backend.jit import jit
from pipeline.core import labels, progress
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Batch, pixels_of
from pipeline.metrics import catalogue
from pipeline.metrics.functions.factors import dci, mig

FEWEST, MOST_CODES = 100, 256
# indices -> the names and values of the factors of those held-out examples
FactorsOf = Callable[[Any], tuple[tuple[str, ...], Int[np.ndarray, "n k"]]]


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    factors_of: FactorsOf,
    *,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Return the metrics of the catalogue whose modality is "factors", of a set of examples.

    Args:
      model: any model of pipeline.models whose latents are Gaussian.
      batches: host batches, with their masks and indices.
      factors_of: gives the factors by the batches' "index"; factors without variation are left out.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding for the means, so that every process can read them.

    Returns:
      each metric by name; mig_of_factor, by the factor's name; num_examples and protocol.

    Raises:
      ConfigError: the model has no posterior means, or more than 256 elements of them.
      DataError: there are fewer than 100 examples, or fewer than two factors that vary.
    """
    graph, state = nnx.split(model)
    codes, indices = [], []
    for batch in batches:
        means = np.asarray(_posterior_means(graph, replicated, state, place(batch)))
        used = np.asarray(batch["mask"]) > 0
        codes.append(means[used].astype(np.float64))
        indices.append(np.asarray(batch["index"])[used])
    if sum(map(len, codes)) < FEWEST:
        raise DataError(
            f"metrics of factors need at least {FEWEST} examples: raise --num_examples, or "
            "data.eval_fraction"
        )
    names, factors = factors_of(np.concatenate(indices))
    varying = [column for column, values in enumerate(factors.T) if len(np.unique(values)) > 1]
    if len(varying) < 2:
        raise DataError("metrics of factors need at least two factors that vary")
    return scores(
        np.concatenate(codes), factors[:, varying], tuple(names[column] for column in varying)
    )


def scores(
    codes: Float[np.ndarray, "n d"], factors: Int[np.ndarray, "n k"], names: tuple[str, ...]
) -> dict[str, Any]:
    """Return the report of `evaluate` for codes and the named factors."""
    functions = catalogue.metrics_of("factors")
    work = progress.track([*functions, "dci"], "evaluating factors", len(functions) + 1, "metrics")
    result: dict[str, Any] = {}
    for name in work:
        if name in functions:
            result[name] = functions[name](codes, factors)
        else:
            result |= dci.dci(codes, factors)
    by_factor = dict(zip(names, mig.gaps(codes, factors).tolist(), strict=True))
    protocol = f"factors {', '.join(names)}; {catalogue.protocol(result)}"
    return result | dict(mig_of_factor=by_factor, num_examples=len(codes), protocol=protocol)


@functools.partial(jit, static_argnums=(0, 1), what="the encoder")
def _posterior_means(
    graph: nnx.GraphDef, replicated: jax.sharding.Sharding | None, state: Any, batch: Batch
) -> Float[Array, "b d"]:
    model: Any = nnx.merge(graph, state)
    images = pixels_of(batch)
    latents = model.encode(images, **labels.of_batch(model, batch))
    if any(latent.mean is None for latent in latents):
        raise ConfigError("metrics of factors are of posterior means, which this model has not")
    means = jnp.concatenate([latent.mean.reshape(len(images), -1) for latent in latents], axis=1)
    if means.shape[1] > MOST_CODES:
        raise ConfigError(
            f"metrics of factors are for at most {MOST_CODES} latent units, and this model has "
            f"{means.shape[1]}"
        )
    return means if replicated is None else jax.lax.with_sharding_constraint(means, replicated)
