"""Masked modelling (MAETok, arXiv 2502.03444): what an encoder did not see is predicted.

Auxiliary decoders of the codec predict features of each patch, and are judged at the masked patches
alone: histograms of gradients by their squared error, a teacher's features by their angle.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, pixels_of
from pipeline.losses import alignment
from pipeline.losses.alignment import normalized
from pipeline.losses.term import Term, Weight

PATHS = ("targets.*.weights",)  # Arguments that say where files are on this machine.
HOG = "hog"
_BINS, _CELL = 9, 8


def masked_prediction(
    *,
    weight: Weight = 1.0,
    targets: Mapping[str, Mapping[str, Any]] = {HOG: {"name": HOG}},
    where: str = "objective.masked_prediction",
) -> Term:
    """Return the sum over the auxiliary decoders of the mean error at masked patches.

    It counts once for each value of an image. An example without masked patches counts 0.

    targets: what each of the model's auxiliary decoders predicts, by the decoder's name:
    dict(name="hog"), or a frozen encoder (pipeline.frozen).
    """
    encoders, arrays = {}, {}
    for name, target in targets.items():
        if target.get("name") != HOG:
            encoders[name], own = alignment.create_teacher(target, f"{where}.targets.{name}")
            arrays |= {f"{name}.{key}": array for key, array in own.items()}

    def value(outputs, batch, step, frozen):
        found, mask = outputs.aux.get("predictions"), outputs.aux.get("patch_mask")
        if found is None or mask is None:
            raise ConfigError(
                f"{where} needs a model with masked patches and auxiliary decoders, such as "
                "titok.MAETok"
            )
        missing = [name for name in targets if name not in found]
        if missing:
            raise ConfigError(f"{where}.targets.{missing[0]}: the model has no such decoder")
        total = jnp.zeros(len(mask))
        for name in targets:
            if name in encoders:
                own = {
                    key.removeprefix(f"{name}."): array
                    for key, array in frozen.items()
                    if key.startswith(f"{name}.")
                }
                features = alignment.teacher_features(encoders[name], own, batch)
                total = total + at_masked(_angle(found[name], _tokens(features, mask)), mask)
            else:
                wanted = _tokens(histograms(_images(batch)), mask)
                error = jnp.square(found[name] - wanted).mean(axis=-1)
                total = total + at_masked(error, mask)
        return total

    return Term(value, weight, log_name="masked_prediction", per_value=True, frozen=arrays)


def at_masked(error: Float[Array, "b n"], mask: Float[Array, "b n"]) -> Float[Array, " b"]:
    """Return the mean error of an example's masked patches, whose mask is 1."""
    return jnp.where(mask > 0, error, 0).sum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)


def histograms(images: Float[Array, "b h w c"], cells: int = 2) -> Float[Array, "b h2 w2 d"]:
    """Return the histograms of oriented gradients of each patch (MaskFeat, arXiv 2112.09133).

    A patch has cells x cells cells of 8x8 pixels, each with 9 unsigned orientations of each colour,
    weighted by the gradient's norm and divided by the norm of the cell: 108 numbers of 16x16
    pixels.
    """
    x = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    dx, dy = x[:, 1:-1, 2:] - x[:, 1:-1, :-2], x[:, 2:, 1:-1] - x[:, :-2, 1:-1]
    angle = jnp.arctan2(dx, dy) / jnp.pi * _BINS
    bins = jax.nn.one_hot(jnp.floor(angle).astype(jnp.int32) % _BINS, _BINS)
    votes = bins * jnp.hypot(dx, dy)[..., None]
    b, h, w, c = images.shape
    rows, columns = (side // (_CELL * cells) * cells for side in (h, w))
    votes = votes[:, : rows * _CELL, : columns * _CELL]
    found = votes.reshape(b, rows, _CELL, columns, _CELL, c, _BINS).sum(axis=(2, 4))
    found = normalized(found).reshape(b, rows // cells, cells, columns // cells, cells, c, _BINS)
    return found.transpose(0, 1, 3, 2, 4, 5, 6).reshape(b, rows // cells, columns // cells, -1)


def _images(batch: Batch) -> Float[Array, "b h w c"]:
    return pixels.to_float(pixels_of(batch))


def _tokens(features: Float[Array, "b h w c"], mask: Float[Array, "b n"]) -> Array:
    """Return features of a square grid as tokens, on the grid of the mask's patches."""
    side = round(mask.shape[1] ** 0.5)
    shape = (len(features), side, side, features.shape[-1])
    if shape != features.shape:
        features = jax.image.resize(features, shape, "linear")
    return features.reshape(len(features), side * side, -1)


def _angle(own: Float[Array, "b n c"], wanted: Float[Array, "b n c"]) -> Float[Array, "b n"]:
    return 1 - (normalized(own) * normalized(wanted)).sum(axis=-1)
