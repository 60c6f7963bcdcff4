"""How close reconstructions come to images and clips."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from pipeline.backend.jit import jit
from pipeline.core import pixels
from pipeline.core.errors import DataError
from pipeline.core.types import Batch, Latent, Likelihood, pixels_of
from pipeline.distances.flicker import flicker
from pipeline.distances.pixel_error import mse
from pipeline.distributions.continuous import Reconstruction
from pipeline.evaluators.feature_distance import FeatureDistance
from pipeline.metrics import quality
from pipeline.metrics.functions import codebook_usage
from pipeline.metrics.functions.average import Averages, masked_sum
from pipeline.metrics.functions.embedding import Embedding

PROTOCOL = (
    "reconstruction: the likelihood's mean at the posterior means (or the most probable codes) of all layers, rounded "
    "to 8 bits, against the image "
    "at the likelihood's bit depth; figures of each image, averaged, of a clip those of its frames, averaged"
)
_FEATURES = "features"  # whose weights are beside those of the perceptual distances
Perceptual = Callable[[Any, Array, Array], Float[Array, " b"]]  # (weights, images, reconstructions)


def evaluate(
    model: nnx.Module,
    batches: Iterable[Batch],
    *,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
    perceptual: Mapping[str, tuple[Perceptual, Any]] | None = None,
    features: tuple[Embedding, Any] | None = None,
) -> dict[str, Any]:
    """psnr (dB), ssim, mse (of values in [0, 1]), ms_ssim and flicker as there can be; num_examples, protocol.

    Of a model with discrete layers also codebook_perplexity and codebook_used, lists of one a layer, top first, of the
    most probable codes of all positions of all examples (pipeline.metrics.functions.codebook_usage).

    The first arguments are those of likelihood.evaluate. `perceptual` are further distances of images by name, each
    with its weights. With `features`, a network and its weights, "feature_distance" is a report of its own, see
    feature_distance.FeatureDistance.

    Raises:
      DataError: there was no example.
    """
    graph, state = nnx.split(model)
    given = perceptual or {}
    networks = _Networks(
        tuple((name, distance) for name, (distance, _) in given.items()), features and features[0]
    )
    weights = {name: arrays for name, (_, arrays) in given.items()} | {
        _FEATURES: features and features[1]
    }
    collected = None if features is None else FeatureDistance(features[0])
    averages = Averages()
    sums: dict[str, Array] = {}
    codes: list[Any] = []
    for batch in batches:
        sums, vectors, counts = _quality_sums(
            graph, replicated, networks, state, weights, place(batch)
        )
        averages.add(sums, sums["count"])
        codes = [
            np.asarray(new, np.float64) + old
            for new, old in zip(counts, codes or [0.0] * len(counts))
        ]
        if collected is not None:
            collected.add(*vectors)
    if not averages.count:
        raise DataError("evaluation: there is no example to evaluate on")
    names = [name for name in sums if name != "count"]
    means = {name: float(averages.mean(name)) for name in names}
    result: dict[str, Any] = dict(means)
    result |= {
        name: np.asarray(values).tolist()
        for name, values in codebook_usage.of_layers(codes).items()
    }
    result |= dict(num_examples=averages.count, protocol=f"{PROTOCOL}; {quality.protocol(names)}")
    return result if collected is None else result | dict(feature_distance=collected.report())


def reconstruct(model: Any, image: UInt8[Array, "b *t h w c"]) -> UInt8[Array, "b *t h w c"]:
    """What the model makes of images or clips, through the posterior means of all layers."""
    return pixels.to_uint8(_decode_means(model, model.encode(image)).mean())


def _decode_means(model: Any, latents: Sequence[Latent]) -> Likelihood | Reconstruction:
    return model.decode([latent.z for latent in latents])


def _of_examples(
    distance: Callable[[Array, Array], Array],
    a: UInt8[Array, "b *t h w c"],
    b: UInt8[Array, "b *t h w c"],
) -> Float[Array, " b"]:
    """Of clips, the mean over their frames."""
    frames = [x.reshape(-1, *x.shape[-3:]) for x in (a, b)]
    return distance(*frames).reshape(a.shape[0], -1).mean(axis=1)


@dataclasses.dataclass(frozen=True)
class _Networks:
    perceptual: tuple[tuple[str, Perceptual], ...]
    embedding: Embedding | None


@functools.partial(jit, static_argnums=(0, 1, 2))
def _quality_sums(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    networks: _Networks,
    state: Any,
    weights: Mapping[str, Any],
    batch: Batch,
) -> tuple[dict[str, Float[Array, ""]], tuple[Array, ...], list[Float[Array, " _"]]]:
    """Sums over a batch's examples; the features of both sides, with the mask; how often each code came."""
    image, mask = pixels_of(batch), batch["mask"]
    model: Any = nnx.merge(graph, state)
    latents = model.encode(image)
    likelihood = _decode_means(model, latents)
    recon, target = (pixels.to_uint8(x) for x in (likelihood.mean(), likelihood.target(image)))
    measures = quality.of_frames(*image.shape[-3:-1]) | dict(mse=mse)
    measures |= {
        name: functools.partial(distance, weights[name]) for name, distance in networks.perceptual
    }
    values = {name: _of_examples(measure, recon, target) for name, measure in measures.items()}
    if image.ndim == 5 and image.shape[1] > 1:
        values["flicker"] = flicker(recon, target)
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
