"""Evaluation of latents as what a generative model is to learn: spectrum, equivariance, bits."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from pipeline.backend.jit import jit
from pipeline.core import pixels
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Batch, pixels_of
from pipeline.losses.alignment import on_grid_of
from pipeline.metrics import catalogue
from pipeline.metrics.functions.factors.linear_probe import linear_probe
from pipeline.metrics.functions.latents import alignment, spectrum
from pipeline.metrics.functions.latents.interpolation import path_ratio
from pipeline.regularizers.equivariance import transform

_CODES, _FEWEST = 256, 100  # Most numbers of a code for the linear probe, and fewest examples.
_POINTS, _PAIRS = 9, 8  # Of an interpolation, and interpolations of a batch.
_MOST_ROWS = 50_000  # Of features for CKA: positions of the first examples.


def evaluate(
    model: Any,
    batches: Iterable[Batch],
    *,
    teacher: tuple[Any, Mapping[str, Array]] | None = None,
    place: Callable[[Batch], Batch] = lambda batch: batch,
    replicated: jax.sharding.Sharding | None = None,
) -> dict[str, Any]:
    """Return the metrics of the catalogue whose option is "latents", of a set of examples.

    Args:
      model: a model with one layer of latents on a grid.
      batches: host batches of images or clips, with their masks.
      teacher: a frozen encoder (pipeline.frozen) and its arrays, for teacher_cka.
      place: puts a host batch on the devices, for a model that is sharded over a mesh.
      replicated: sharding of what is measured, so that every process can read it.

    Returns:
      each metric by name, None where the model or the examples do not allow it; num_examples and
      protocol.

    Raises:
      ConfigError: the model has no such latents. DataError: there are no examples.
    """
    check(model)
    graph, state = nnx.split(model)
    encoder, weights = teacher or (None, {})
    parts: list[dict[str, np.ndarray]] = []
    labels: list[np.ndarray] = []
    for batch in batches:
        used = np.asarray(batch["mask"]) > 0
        found = _measured(graph, replicated, encoder, state, weights, place(batch))
        parts.append({name: np.asarray(value)[used[: len(value)]] for name, value in found.items()})
        label = np.asarray(batch["label"]) if "label" in batch else np.full(len(used), -1)
        labels.append(label[used])
    if not parts or not sum(map(len, labels)):
        raise DataError("evaluation: there is no example to evaluate on")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    result = _figures(joined, np.concatenate(labels))
    about = catalogue.protocol(
        f"latents.{name}" for name, value in result.items() if value is not None
    )
    return result | dict(num_examples=len(joined["z"]), protocol=about)


def check(model: Any) -> None:
    """Raise ConfigError for a model without one layer of latents on a grid."""
    shapes = getattr(model, "latent_shapes", ())
    if len(shapes) != 1 or len(shapes[0]) not in (3, 4):
        raise ConfigError(
            "--latents and --probe measure one layer of latents on a grid, and "
            f"{type(model).__name__} has latents of {', '.join(map(str, shapes))}"
        )


def _figures(found: Mapping[str, np.ndarray], labels: np.ndarray) -> dict[str, float | None]:
    z = found["z"]
    maps = z.reshape(-1, *z.shape[-3:])
    result: dict[str, float | None] = {
        "low_frequency_share": spectrum.low_frequency_share(maps),
        "effective_channels": spectrum.effective_channels(maps),
        "interpolation_path": float(found["path"].mean()),
        "bits_per_latent": float(found["bits"].mean()),
        "label_accuracy": _label_accuracy(z, labels),
        "teacher_cka": None,
    }
    for name in ("scale", "rotation"):
        pair = [found.get(f"{name}.{side}") for side in ("moved", "wanted")]
        result[f"{name}_error"] = None if pair[0] is None else _relative_error(*pair)
    if "teacher" in found:
        rows = [x.reshape(-1, x.shape[-1])[:_MOST_ROWS] for x in (z, found["teacher"])]
        result["teacher_cka"] = alignment.cka(*rows)
    return result


def _relative_error(wanted: Any, found: Any) -> float | None:
    wanted, found = (np.asarray(x, np.float64) for x in (wanted, found))
    axes = tuple(range(wanted.ndim - 1))
    variance = np.square(wanted - wanted.mean(axis=axes)).mean()
    return float(np.square(wanted - found).mean() / variance) if variance > 0 else None


def _label_accuracy(z: np.ndarray, labels: np.ndarray) -> float | None:
    known = labels >= 0
    if known.sum() < _FEWEST or len(np.unique(labels[known])) < 2:
        return None
    z = z[known]
    z = z.mean(axis=1) if z.ndim == 5 else z
    side = max(1, math.isqrt(_CODES // z.shape[-1]))
    rows, columns = (_cells(length, side) for length in z.shape[1:3])
    codes = np.stack([z[:, r].mean(axis=1) for r in rows], axis=1)
    codes = np.stack([codes[:, :, c].mean(axis=2) for c in columns], axis=2)
    return linear_probe(codes.reshape(len(codes), -1).astype(np.float64), labels[known][:, None])


def _cells(length: int, most: int) -> list[slice]:
    edges = np.linspace(0, length, min(length, most) + 1).astype(int)
    return [slice(a, b) for a, b in itertools.pairwise(edges.tolist())]


@functools.partial(jit, static_argnums=(0, 1, 2), what="the evaluation of latents")
def _measured(
    graph: nnx.GraphDef,
    replicated: jax.sharding.Sharding | None,
    encoder: Any,
    state: Any,
    weights: Mapping[str, Array],
    batch: Batch,
) -> dict[str, Array]:
    """Return arrays [b ...] of a batch by name, as far as the model and its images allow."""
    model: Any = nnx.merge(graph, state)
    x = pixels.to_float(pixels_of(batch))
    (latent,) = model.encode(x)
    z = latent.z
    size = math.prod(z.shape[1:])
    bits = latent.kl.reshape(len(z), -1).sum(axis=1) / (math.log(2) * size)
    found = {"z": z, "bits": bits, "path": _paths(model, z)}
    height, width = x.shape[-3:-1]
    factor = getattr(model, "spatial_factor", 0)
    if model.codec_kind == "any_size" and not (height % (2 * factor) or width % (2 * factor)):
        small = functools.partial(transform, scale=0.5)
        found |= {"scale.moved": model.encode(small(x))[0].z, "scale.wanted": small(z)}
    if height == width:
        turned = functools.partial(transform, scale=1.0, turns=1)
        found |= {"rotation.moved": model.encode(turned(x))[0].z, "rotation.wanted": turned(z)}
    if encoder is not None:
        found["teacher"] = on_grid_of(encoder(weights, pixels_of(batch)).patches, z)
    if replicated is None:
        return found
    return jax.tree.map(lambda value: jax.lax.with_sharding_constraint(value, replicated), found)


def _paths(model: Any, z: Array) -> Array:
    """Return the ratio of the path from each of the first examples to the next, [b] repeated."""
    pairs = min(_PAIRS, len(z))
    start, end = z[:pairs], jnp.roll(z, -1, axis=0)[:pairs]
    shares = jnp.linspace(0, 1, _POINTS)

    def image(share: Array) -> Array:
        return model.decode([start + share * (end - start)]).mean()

    ratios = path_ratio(jax.lax.map(image, shares))
    return jnp.resize(ratios, (len(z),))
