"""Scores of single examples by which anomalies stand out, and how well they separate classes.

A model of normal examples alone gives others a lower likelihood, or reconstructs them badly. That
is no law: likelihoods favour simple images, whatever their class (arXiv 1810.09136).
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline import priors
from pipeline.backend.jit import jit
from pipeline.core import labels, pixels
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.reduce import layer_rates
from pipeline.core.types import Batch, pixels_of
from pipeline.metrics import catalogue
from pipeline.metrics.functions.importance import LogMeanExp, log_weight

# Score -> the metric of its area under the ROC curve; larger scores are less normal.
AUROC = {"nats": "auroc_elbo", "iwae_nats": "auroc_iwae", "rate": "auroc_rate", "mse": "auroc_mse"}


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    key: PRNGKeyArray,
    num_importance_samples: int = 0,
    normal_labels: Sequence[int] = (),
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Score every example whose mask is not 0.

    Args:
      model: any model of pipeline.models; one without a likelihood has the scores "rate" and "mse".
      batches: host batches, with their masks and labels.
      key: for the latents' samples.
      num_importance_samples: K of the importance-weighted bound; 0 leaves it out.
      normal_labels: labels of the normal class; without any there is no ROC curve.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding of the scores, so that every process can read them.

    Returns:
      "examples", lists by name of one number per example: index, label, and the scores nats (the
      negative ELBO of one sample), iwae_nats, rate (the KL, in nats) and mse (at the posterior
      means, of values in [0, 1]); with labels auroc_elbo, auroc_iwae, auroc_rate, auroc_mse and
      num_normal; num_examples and protocol.

    Raises:
      DataError: there are no examples.
      ConfigError: all examples are normal, or none is.
    """
    graph, state = nnx.split(model)
    collected: list[dict[str, np.ndarray]] = []
    for number, batch in enumerate(batches):
        host = {name: np.asarray(batch[name]) for name in ("index", "label", "mask")}
        placed = place(batch)
        batch_key = jax.random.fold_in(key, number)
        scores = _scores(graph, replicated, state, placed, jax.random.fold_in(batch_key, 0))
        if num_importance_samples and "nats" in scores:
            bound = _bound(graph, replicated, state, placed, batch_key, num_importance_samples)
            scores = scores | {"iwae_nats": bound}
        kept = host.pop("mask") > 0
        values = host | {name: np.asarray(value) for name, value in scores.items()}
        collected.append({name: value[kept] for name, value in values.items()})
    examples = {
        name: np.concatenate([each[name] for each in collected]) for name in (collected or [{}])[0]
    }
    if not examples or not len(examples["index"]):
        raise DataError("evaluation: there is no example to score")
    report = _separation(examples, normal_labels) if normal_labels else {}
    report["num_examples"] = len(examples["index"])
    report["protocol"] = "; ".join(
        ["scores of single examples", *filter(None, [catalogue.protocol(report)])]
    )
    return report | {"examples": {name: value.tolist() for name, value in examples.items()}}


def _separation(examples: Mapping[str, np.ndarray], normal_labels: Sequence[int]) -> dict[str, Any]:
    """Return the area under the ROC curve of each score."""
    from sklearn.metrics import roc_auc_score  # slow to import

    normal = np.isin(examples["label"], list(normal_labels))
    if normal.all() or not normal.any():
        raise ConfigError(
            f"--normal_labels={','.join(map(str, normal_labels))}: {int(normal.sum())} of the "
            f"{len(normal)} examples have such a label; some must have one and others not"
        )
    areas = {
        metric: float(roc_auc_score(~normal, np.asarray(examples[score], np.float64)))
        for score, metric in AUROC.items()
        if score in examples
    }
    return {**areas, "normal_labels": list(normal_labels), "num_normal": int(normal.sum())}


@functools.partial(jit, static_argnums=(0, 1), what="the scores of examples")
def _scores(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
) -> dict[str, Float[Array, " b"]]:
    model: Any = nnx.merge(graph, state)
    image = pixels_of(batch)
    outputs = model(batch, key=key, train=False)
    rate = layer_rates(outputs.latents).sum(axis=-1)
    condition = labels.of_batch(model, batch)
    means = [latent.z for latent in model.encode(image, **condition)]
    likelihood = model.decode(means, **condition)
    recon, target = (pixels.to_unit(x) for x in (likelihood.mean(), likelihood.target(image)))
    error = jnp.square(recon - target).reshape(len(image), -1).mean(axis=1)
    scores = {"rate": rate, "mse": error}
    if hasattr(outputs.recon, "log_prob"):
        scores["nats"] = rate - outputs.recon.log_prob(image)
    return _replicated(scores, replicated)


def _bound(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
    num_samples: int,
) -> Float[Array, " b"]:
    # A loop on the host: XLA's CPU backend runs convolutions inside a compiled loop on one thread.
    running = LogMeanExp.create(len(batch["mask"]))
    for sample in range(num_samples):
        running = _added(graph, replicated, state, batch, jax.random.fold_in(key, sample), running)
    return -running.value()


@functools.partial(jit, static_argnums=(0, 1), what="the importance-weighted scores")
def _added(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    state: Any,
    batch: Batch,
    key: PRNGKeyArray,
    running: LogMeanExp,
) -> LogMeanExp:
    model = nnx.merge(graph, state)
    outputs = priors.with_log_prob(model, model(batch, key=key, train=False))
    return _replicated(running.add(log_weight(outputs, pixels_of(batch))), replicated)


def _replicated(tree: Any, replicated: jax.sharding.Sharding | None) -> Any:
    if replicated is None:
        return tree
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, replicated), tree)
