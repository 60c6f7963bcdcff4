"""Pictures for judging a model by eye: samples, and reconstructions from more and more latents."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray, UInt8

from pipeline.backend.jit import jit
from pipeline.core import labels, pixels

Temperature = float | int | tuple[float | int, ...]


def samples(
    model: nnx.Module,
    num: int,
    *,
    key: PRNGKeyArray,
    temperature: Temperature = 1.0,
    mean: bool = False,
    label: Any = None,
    guidance: float | int | None = None,
) -> UInt8[np.ndarray, "num h w c"]:
    """Return images from the prior; `temperature` is one number, or one per layer.

    `mean` gives the likelihood's mean instead of a draw from it, without the pixels' noise.
    `label` is the class of all images, or a sequence with one for each, and `guidance` the scale of
    pipeline.distributions.guidance.

    Raises:
      DataError: the model takes no such label or guidance.
    """
    condition: dict[str, Any] = {}
    if label is not None:
        condition["label"] = labels.checked(label, labels.num_classes_of(model), num)
    if guidance is not None:
        condition["guidance"] = labels.checked_guidance(guidance, model, label)
    graph, state = nnx.split(model)
    return np.asarray(_samples(graph, num, temperature, mean, state, key, condition))


def reconstructions(
    model: Any,
    images: UInt8[np.ndarray, "n h w c"],
    *,
    key: PRNGKeyArray,
    temperature: Temperature = 1.0,
    label: Any = None,
) -> tuple[UInt8[np.ndarray, "rows_n h w c"], list[str]]:
    """Return rows of n images, originals and then reconstructions, and one label per row.

    For a hierarchy, a row keeps the posterior means of the first layers and draws the rest from the
    prior, which shows what the layers of each resolution hold. The last row keeps all of them.
    `label` holds the images' classes, for a model that takes them.
    """
    graph, state = nnx.split(model)
    condition = labels.of_batch(model, {} if label is None else {"label": label})

    def keep(kept: int) -> np.ndarray:
        return np.asarray(_keep(graph, kept, temperature, state, images, key, condition))

    rows, texts = [images], ["original"]
    for kept in kept_layers(model.latent_shapes):
        rows.append(keep(kept))
        side = model.latent_shapes[kept - 1][0]
        texts.append(f"{kept} of {model.num_layers} (to {side}x{side})")
    rows.append(keep(model.num_layers))
    texts.append("all latents" if model.num_layers > 1 else "reconstruction")
    return np.concatenate(rows), texts


def kept_layers(latent_shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """Return how many layers of a hierarchy end each resolution but the last.

    >>> kept_layers(((1, 1, 16), (4, 4, 16), (4, 4, 16), (8, 8, 16)))
    [1, 3]
    """
    changes = itertools.pairwise(latent_shapes)
    return [index + 1 for index, (above, below) in enumerate(changes) if above != below]


@functools.partial(jit, static_argnums=(0, 1, 2, 3), what="sampling")
def _samples(
    graph: nnx.GraphDef,
    num: int,
    temperature: Temperature,
    mean: bool,
    state: Any,
    key: PRNGKeyArray,
    condition: Mapping[str, Any],
) -> Any:
    latents_key, pixels_key = jax.random.split(key)
    likelihood = nnx.merge(graph, state).decode(
        (), num=num, key=latents_key, temperature=temperature, **condition
    )
    return pixels.to_uint8(likelihood.mean() if mean else likelihood.sample(pixels_key))


@functools.partial(jit, static_argnums=(0, 1, 2), what="reconstruction")
def _keep(
    graph: nnx.GraphDef,
    kept: int,
    temperature: Temperature,
    state: Any,
    images: Any,
    key: PRNGKeyArray,
    condition: Mapping[str, Any],
) -> Any:
    model = nnx.merge(graph, state)
    latents = [latent.z for latent in model.encode(images, **condition)[:kept]]
    decoded = model.decode(latents, key=key, temperature=temperature, **condition)
    return pixels.to_uint8(decoded.mean())
