"""Kinds of examples: what each one is called, and which array a batch has of it.

All that depends on the kind of an example asks here, or asks the dataset class of the kind
(pipeline.data.<plural>.<name>_data) and the model.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

# Tokens of text with a meaning of their own, the first of every vocabulary, and their number.
PADDING, END, UNKNOWN = range(3)
SPECIAL = 3


@dataclasses.dataclass(frozen=True)
class Modality:
    """A kind of examples.

    Attributes:
      name: key of the examples in a batch, and a source's MODALITY.
      plural: name of several examples, for messages.
      dtype: type of an example's values in a batch.
      has_pixels: whether examples are uint8 images or clips, which models see in [-1, 1]; losses
        and metrics of pixels, grids and image files are for these alone.
    """

    name: str
    plural: str
    dtype: Any
    has_pixels: bool


MODALITIES: dict[str, Modality] = {
    each.name: each
    for each in (
        Modality("image", "images", np.uint8, has_pixels=True),
        Modality("video", "videos", np.uint8, has_pixels=True),
        Modality("vector", "vectors", np.float32, has_pixels=False),
        Modality("text", "texts", np.int32, has_pixels=False),
    )
}


def of_batch(batch: Mapping[str, Any]) -> Modality:
    """Return the modality of a batch's examples."""
    return next(each for name, each in MODALITIES.items() if name in batch)


def of_model(model: Any) -> Modality:
    """Return the modality of a model's examples: its `modality`, or what `is_video` says."""
    return MODALITIES[getattr(model, "modality", "video" if model.is_video else "image")]


def example_shape(model: Any) -> tuple[int, ...]:
    """Return the shape of one of a model's examples."""
    if not of_model(model).has_pixels:
        return tuple(model.example_shape)
    frames = (model.num_frames,) if model.is_video else ()
    return (*frames, model.image_size, model.image_size, model.image_channels)
