"""Evaluation of bounds on the likelihood of a set, and of how much its latents hold."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline import priors
from pipeline.backend.jit import jit
from pipeline.core.errors import DataError
from pipeline.core.reduce import layer_rates
from pipeline.core.types import Batch, examples_of
from pipeline.metrics import catalogue
from pipeline.metrics.functions.active_units import ActiveUnits, UnitMoments
from pipeline.metrics.functions.average import Averages, masked_sum
from pipeline.metrics.functions.bits_per_dim import bits_per_dim
from pipeline.metrics.functions.importance import LogMeanExp, log_weight


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    num_importance_samples: int = 0,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Bound the likelihood of a set, and measure what the latents hold of it.

    Each example whose mask is not 0 counts once. The noise is a function of the key, the batch's
    number and the sample's, so the same batches give the same figures.

    Args:
      model: any model of pipeline.models that has a likelihood.
      batches: host batches, with their masks.
      key: for the latents' samples.
      num_importance_samples: K of the importance-weighted bound, K passes over the set; 0 leaves it
        out.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding for the sums, so that every process can read them.

    Returns:
      bits_per_dim; nats (the negative ELBO: one sample of the latents per example, KL in closed
      form); distortion and rate (its two terms, in nats); kl_per_layer (nats) and
      kl_per_layer_bits_per_dim, top first; active_units (over all layers, see
      metrics/functions/active_units.py) and active_units_per_layer, of Gaussian layers; likelihood,
      num_examples, protocol. With importance samples also iwae_bits_per_dim, iwae_nats and
      num_importance_samples. Of text a dimension is a token that is scored, ends of lines included;
      "perplexity" and "iwae_perplexity" are exp of the nats of one.

    Raises:
      DataError: there are no examples.
    """
    graph, state = nnx.split(model)
    averages, units, sums, dims = Averages(), [], None, 1
    for number, batch in enumerate(batches):
        dims = math.prod(examples_of(batch).shape[1:])  # of text, only what is scored counts
        batch = place(batch)
        batch_key = jax.random.fold_in(key, number)
        sums = _elbo_sums(graph, replicated, state, batch, jax.random.fold_in(batch_key, 0))
        iwae = _iwae_sum(graph, replicated, state, batch, batch_key, num_importance_samples)
        averages.add(sums.values | iwae, sums.count)
        units = units or [ActiveUnits() for _ in sums.moments]
        for layer, moments in zip(units, sums.moments):
            layer.add(moments)
    if sums is None or not averages.count:
        raise DataError("evaluation: there is no example to evaluate on")
    if "scored" in sums.values:
        dims = float(averages.mean("scored"))
    report = _likelihood_report(averages, dims, num_importance_samples) | _units_report(units)
    if "scored" in sums.values:
        report |= _perplexities(report, dims)
    return report | _about(sums.likelihood, averages.count, report)


@flax.struct.dataclass
class _Sums:
    """Sums over a batch's examples, moments of its Gaussian layers, and the likelihood's class."""

    values: dict[str, Array]
    count: Float[Array, ""]
    moments: list[UnitMoments]
    likelihood: str = flax.struct.field(pytree_node=False)


@functools.partial(jit, static_argnums=(0, 1), what="the evaluation of the ELBO")
def _elbo_sums(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
) -> _Sums:
    outputs = nnx.merge(graph, state)(batch, key=key, train=False)
    values = dict(
        distortion=masked_sum(-outputs.recon.log_prob(examples_of(batch)), batch["mask"]),
        layer_rates=masked_sum(layer_rates(outputs.latents), batch["mask"]),
    )
    if hasattr(outputs.recon, "num_scored"):
        scored = outputs.recon.num_scored(examples_of(batch))
        values["scored"] = masked_sum(scored, batch["mask"])
    count = masked_sum(jnp.ones_like(batch["mask"]), batch["mask"])
    moments = [
        UnitMoments.of(latent, batch["mask"])
        for latent in outputs.latents
        if latent.mean is not None
    ]
    return _replicate(_Sums(values, count, moments, type(outputs.recon).__name__), replicated)


def _iwae_sum(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
    num_samples: int,
) -> dict[str, Float[Array, ""]]:
    """Return the sum of the importance-weighted bounds as "iwae", or nothing without samples."""
    if not num_samples:
        return {}
    # A loop on the host: XLA's CPU backend runs convolutions inside a compiled loop on one thread.
    running = LogMeanExp.create(len(batch["mask"]))
    for sample in range(num_samples):
        running = _add_weight(graph, state, batch, jax.random.fold_in(key, sample), running)
    return {"iwae": _finish(replicated, running, batch["mask"])}


@functools.partial(jit, static_argnums=0, what="the evaluation of the importance-weighted bound")
def _add_weight(
    graph: nnx.GraphDef, state: Any, batch: Batch, key: PRNGKeyArray, running: LogMeanExp
) -> LogMeanExp:
    model = nnx.merge(graph, state)
    outputs = priors.with_log_prob(model, model(batch, key=key, train=False))
    return running.add(log_weight(outputs, examples_of(batch)))


@functools.partial(jit, static_argnums=0, what="the evaluation of the importance-weighted bound")
def _finish(
    replicated: jax.sharding.Sharding | None, running: LogMeanExp, mask: Float[Array, " b"]
) -> Float[Array, ""]:
    return _replicate(masked_sum(running.value(), mask), replicated)


def _replicate(tree: Any, replicated: jax.sharding.Sharding | None) -> Any:
    if replicated is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, replicated), tree)


def _perplexities(report: Mapping[str, Any], num_scored: float) -> dict[str, float]:
    """Return exp of the nats of a token, for the ELBO and for the importance-weighted bound."""
    names = {"nats": "perplexity", "iwae_nats": "iwae_perplexity"}
    return {
        to: math.exp(min(report[name] / num_scored, 700.0))
        for name, to in names.items()
        if name in report
    }


def _likelihood_report(
    averages: Averages, dims: float | int, num_importance_samples: int
) -> dict[str, Any]:
    distortion, layers = averages.mean("distortion"), averages.mean("layer_rates")
    nats = float(distortion + layers.sum())
    report = dict(
        bits_per_dim=bits_per_dim(nats, dims),
        nats=nats,
        distortion=float(distortion),
        rate=float(layers.sum()),
        kl_per_layer=[float(x) for x in layers],
        kl_per_layer_bits_per_dim=[bits_per_dim(float(x), dims) for x in layers],
    )
    if num_importance_samples:
        bound = -float(averages.mean("iwae"))
        report |= dict(
            iwae_bits_per_dim=bits_per_dim(bound, dims),
            iwae_nats=bound,
            num_importance_samples=num_importance_samples,
        )
    return report


def _units_report(units: list[ActiveUnits]) -> dict[str, Any]:
    if not units:
        return {}
    layers = [layer.result() for layer in units]
    total = {name: int(np.sum([layer[name] for layer in layers])) for name in layers[0]}
    return dict(active_units=total, active_units_per_layer=layers)


def _about(likelihood: str, num_examples: int, report: Mapping[str, Any]) -> dict[str, Any]:
    protocol = (
        f"negative ELBO of {likelihood}: one posterior sample per example, KL in closed form (or "
        "of that sample, where a flow or a prior has none), each example counted once; "
        + catalogue.protocol(metric.name for metric in catalogue.reported(report))
    )
    return dict(likelihood=likelihood, num_examples=num_examples, protocol=protocol)
