"""Class labels that a model is conditioned on: which models take them, and the check of labels.

A model that takes labels has the attribute `num_classes`, and its `encode` and `decode` take
`label`, int32 [b] with -1 where the class is unknown. If its `label_dropout` is above 0, training
hid that share of the labels, and `decode` takes a scale of `guidance` too. If it has
`infers_labels`, evaluation does not give it the labels of a batch.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32

from pipeline.core.errors import DataError

UNKNOWN = -1
LABEL_DROPOUT = "model.conditioning.label_dropout"


def num_classes_of(model: Any) -> int:
    """Return the number of classes that a model is conditioned on; 0 if it takes no labels."""
    return getattr(model, "num_classes", 0)


def of_batch(model: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return dict(label=...) for a model that is evaluated with a batch's labels, otherwise {}."""
    takes = num_classes_of(model) and not getattr(model, "infers_labels", False)
    return {"label": batch["label"]} if takes and "label" in batch else {}


def checked_guidance(guidance: Any, model: Any, label: Any) -> Float32[np.ndarray, ""]:
    """Return the scale of guidance by labels; 1 is the model as it is.

    Raises:
      DataError: it is no finite number of 0 or more, there is no label, or the model was trained
        without label dropout, so that it has no distribution without labels.
    """
    number = isinstance(guidance, int | float) and not isinstance(guidance, bool)
    if not number or not 0 <= guidance < math.inf:
        raise DataError(f"guidance={guidance!r} must be a number of 0 or more")
    if label is None:
        raise DataError(f"guidance={guidance} needs a label, which it is towards")
    if not getattr(model, "label_dropout", 0):
        raise DataError(
            f"guidance={guidance} compares a class with no class, and this model was trained "
            f"without {LABEL_DROPOUT}"
        )
    return np.asarray(guidance, np.float32)


def checked(label: Any, num_classes: int, batch: int) -> Int32[np.ndarray, " b"]:
    """Return the labels of a batch: one integer for all examples, or a sequence with one for each.

    Raises:
      DataError: the model takes no labels, there is another number of them, or one is no class.
    """
    if not num_classes:
        raise DataError("this model takes no labels")
    array = np.asarray(label)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise DataError(f"label={label!r} must be an integer, or a sequence with one per example")
    if array.ndim and len(array) != batch:
        raise DataError(f"there are {len(array)} labels, but {batch} examples")
    all_labels = array.reshape(-1)
    wrong = all_labels[(all_labels < UNKNOWN) | (all_labels >= num_classes)]
    if wrong.size:
        raise DataError(
            f"label {wrong[0]} is no class of this model: its {num_classes} classes are 0 to "
            f"{num_classes - 1}, and -1 is unknown"
        )
    return np.broadcast_to(array, (batch,)).astype(np.int32)
