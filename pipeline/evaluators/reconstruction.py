"""Evaluation of how close reconstructions come to images and clips."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from pipeline.backend.jit import jit
from pipeline.core import labels, pixels
from pipeline.core.errors import DataError
from pipeline.core.types import Batch, Latent, Likelihood, pixels_of
from pipeline.distributions.continuous import Reconstruction
from pipeline.evaluators.feature_distance import FeatureDistance
from pipeline.metrics import catalogue
from pipeline.metrics.functions import codebook_usage
from pipeline.metrics.functions.average import Averages, masked_sum
from pipeline.metrics.functions.embedding import Embedding

PROTOCOL = (
    "reconstruction: the likelihood's mean at the posterior means (or the most probable codes) of "
    "all layers, rounded to 8 bits, against the image at the likelihood's bit depth; one figure "
    "per image, or the mean over a clip's frames, averaged over examples"
)
_FEATURES = "features"  # key of the embedding's weights, next to the perceptual distances' keys
# (weights, images, reconstructions) -> one distance per image
Perceptual = Callable[[Any, Array, Array], Float[Array, " b"]]


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
    perceptual: Mapping[str, tuple[Perceptual, Any]] | None = None,
    features: tuple[Embedding, Any] | None = None,
) -> dict[str, Any]:
    """Measure reconstructions of a set by the catalogue's image, video and codebook metrics.

    Each example whose mask is not 0 counts once.

    Args:
      model: any model of pipeline.models.
      batches: host batches of images or clips, with their masks.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding for the sums, so that every process can read them.
      perceptual: distances of images by name, each with its weights.
      features: a network and its weights, whose Frechet distance is reported.

    Returns:
      psnr (dB), ssim, mse (of values in [0, 1]); ms_ssim, or the name with fewer scales, where
      frames are large enough; flicker for clips; num_examples; protocol. Models with discrete
      layers also have codebook_perplexity and codebook_used, lists with one number per layer, top
      first, of the most probable codes of all positions of all examples. With `features`,
      "feature_distance" is a report of its own (`FeatureDistance.report`).

    Raises:
      DataError: there are no examples.
    """
    graph, state = nnx.split(model)
    networks, weights = _networks_and_weights(perceptual or {}, features)
    collected = None if features is None else FeatureDistance(features[0])
    averages = Averages()
    sums: dict[str, Array] = {}
    codes: list[Any] = []
    for batch in batches:
        sums, vectors, counts = _quality_sums(
            graph, replicated, networks, state, weights, place(batch)
        )
        averages.add(sums, sums["count"])
        codes = _added(codes, counts)
        if collected is not None:
            collected.add(*vectors)
    if not averages.count:
        raise DataError("evaluation: there is no example to evaluate on")
    return _report(averages, [name for name in sums if name != "count"], codes, collected)


def reconstruct(model: Any, batch: Batch) -> UInt8[Array, "b *t h w c"]:
    """Return the model's reconstructions through the posterior means of all layers.

    A model that takes labels gets the batch's.
    """
    condition = labels.of_batch(model, batch)
    latents = model.encode(pixels_of(batch), **condition)
    return pixels.to_uint8(_decode_means(model, latents, condition).mean())


def _report(
    averages: Averages, names: Sequence[str], codes: list[Any], collected: FeatureDistance | None
) -> dict[str, Any]:
    result: dict[str, Any] = {name: float(averages.mean(name)) for name in names}
    result |= {
        name: np.asarray(values).tolist()
        for name, values in codebook_usage.of_layers(codes).items()
    }
    protocol = f"{PROTOCOL}; {catalogue.protocol(names)}"
    result |= dict(num_examples=averages.count, protocol=protocol)
    return result if collected is None else result | dict(feature_distance=collected.report())


def _added(codes: list[Any], counts: Sequence[Array]) -> list[Any]:
    """Return the counts of each layer's codes plus those of a batch; `codes` is empty at first."""
    return [
        np.asarray(new, np.float64) + old for new, old in zip(counts, codes or [0.0] * len(counts))
    ]


def _decode_means(
    model: Any, latents: Sequence[Latent], condition: Mapping[str, Any]
) -> Likelihood | Reconstruction:
    return model.decode([latent.z for latent in latents], **condition)


def _per_example(
    metric: Callable[[Array, Array], Array],
    a: UInt8[Array, "b *t h w c"],
    b: UInt8[Array, "b *t h w c"],
) -> Float[Array, " b"]:
    """Return a frame metric of each image, or its mean over the frames of each clip."""
    frames = [x.reshape(-1, *x.shape[-3:]) for x in (a, b)]
    return metric(*frames).reshape(a.shape[0], -1).mean(axis=1)


@dataclasses.dataclass(frozen=True)
class _Networks:
    perceptual: tuple[tuple[str, Perceptual], ...]
    embedding: Embedding | None


def _networks_and_weights(
    perceptual: Mapping[str, tuple[Perceptual, Any]], features: tuple[Embedding, Any] | None
) -> tuple[_Networks, dict[str, Any]]:
    """Split each network from its weights, so that the networks can be static arguments."""
    networks = _Networks(
        tuple((name, distance) for name, (distance, _) in perceptual.items()),
        features and features[0],
    )
    weights = {name: arrays for name, (_, arrays) in perceptual.items()}
    return networks, weights | {_FEATURES: features and features[1]}


@functools.partial(jit, static_argnums=(0, 1, 2), what="the evaluation of reconstructions")
def _quality_sums(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    networks: _Networks,
    state: Any,
    weights: Mapping[str, Any],
    batch: Batch,
) -> tuple[dict[str, Float[Array, ""]], tuple[Array, ...], list[Float[Array, " _"]]]:
    """Return sums over a batch's examples, both sides' features with the mask, and code counts."""
    image, mask = pixels_of(batch), batch["mask"]
    model: Any = nnx.merge(graph, state)
    condition = labels.of_batch(model, batch)
    latents = model.encode(image, **condition)
    likelihood = _decode_means(model, latents, condition)
    recon, target = (pixels.to_uint8(x) for x in (likelihood.mean(), likelihood.target(image)))
    metrics = catalogue.frame_metrics(*image.shape[-3:-1], restated=True) | {
        name: functools.partial(distance, weights[name]) for name, distance in networks.perceptual
    }
    values = {name: _per_example(metric, recon, target) for name, metric in metrics.items()}
    if image.ndim == 5 and image.shape[1] > 1:
        clips = catalogue.metrics_of("video")
        values |= {name: metric(recon, target) for name, metric in clips.items()}
    sums = {name: masked_sum(value, mask) for name, value in values.items()}
    sums["count"] = masked_sum(mask, mask)
    vectors = ()
    if networks.embedding is not None:
        embed = functools.partial(networks.embedding, weights[_FEATURES])
        vectors = (embed(target), embed(recon), mask)
    result = sums, vectors, codebook_usage.count_layers(latents, mask)
    if replicated is None:
        return result
    return jax.tree.map(lambda value: jax.lax.with_sharding_constraint(value, replicated), result)
