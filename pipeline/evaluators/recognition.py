"""Recognition of samples as classes of the data, by nearest neighbors.

A sample is recognized when at least 4 of the 5 nearest training images agree on its class and the
nearest one is as close as real images are to each other: not farther than the nearest training
image of 99% of the held-out images. Without the second condition noise passes too, because it also
has neighbors, and they often agree. Distances are Euclidean, over uint8 pixels. This serves small
images of few classes (digits); it is no measure of variety.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from pipeline.core.errors import DataError

NEIGHBORS, AGREEING, PERCENTILE = 5, 4, 99.0
PROTOCOL = (
    f"recognition: {AGREEING} of the {NEIGHBORS} nearest training images share a class, and the "
    f"nearest is within the distance that {PERCENTILE:.0f}% of held-out images keep"
)
_ROWS = 1024  # images compared with the training set at a time


@dataclasses.dataclass
class Recognizer:
    """Nearest neighbors among training images; `limit` is the largest distance that counts."""

    images: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    limit: float

    def __call__(
        self, images: UInt8[np.ndarray, "b h w c"]
    ) -> tuple[Bool[np.ndarray, " b"], Int[np.ndarray, " b"]]:
        """Return whether each image is recognized, and the class that most neighbors have."""
        votes, classes, distances = _neighbors(self.images, self.labels, _flat(images))
        return (votes >= AGREEING) & (distances <= self.limit), classes


def fit(
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    held_out: UInt8[np.ndarray, "m h w c"],
) -> Recognizer:
    """Return the recognizer of training images and classes, which held-out images calibrate.

    Raises:
      DataError: images without classes, or fewer than `NEIGHBORS` of them.
    """
    if len(labels) < NEIGHBORS or labels.min() < 0:
        raise DataError(
            f"recognition needs classes and at least {NEIGHBORS} training images: this dataset has "
            f"{len(labels)} images" + (" without classes" if len(labels) else "")
        )
    flat = _flat(images)
    distances = _neighbors(flat, labels, _flat(held_out))[2]
    return Recognizer(flat, labels, float(np.percentile(distances, PERCENTILE)))


def of_dataset(data: Any) -> tuple[Recognizer, UInt8[np.ndarray, "m h w c"]]:
    """Return the recognizer of an ImageData, and the held-out images that calibrate it.

    Raises:
      DataError: see `fit`.
    """
    size = min(data.num_examples, _ROWS)
    with data.train(size, seed=0) as batches:
        some = [next(batches) for _ in range(-(-data.num_examples // size))]
    images = np.concatenate([batch["image"] for batch in some])[: data.num_examples]
    labels = np.concatenate([batch["label"] for batch in some])[: data.num_examples]
    with data.evaluate(data.num_eval_examples) as batches:
        batch = next(batches)
    held_out = np.asarray(batch["image"][batch["mask"] > 0])
    return fit(images, labels, held_out), held_out


def _flat(images: UInt8[np.ndarray, "b h w c"]) -> Float[np.ndarray, "b d"]:
    return images.reshape(len(images), -1).astype(np.float64)  # squared distances are exact


def _neighbors(
    images: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    queries: Float[np.ndarray, "b d"],
) -> tuple[Int[np.ndarray, " b"], Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Return how many neighbors agree, on which class, and the distance of the nearest."""
    found = []
    for start in range(0, len(queries), _ROWS):
        some = queries[start : start + _ROWS]
        squared = (some**2).sum(1)[:, None] - 2 * some @ images.T + (images**2).sum(1)
        nearest = np.argsort(squared, axis=1, kind="stable")[:, :NEIGHBORS]
        votes = np.stack([np.bincount(row, minlength=labels.max() + 1) for row in labels[nearest]])
        distances = np.sqrt(np.take_along_axis(squared, nearest[:, :1], axis=1)[:, 0])
        found.append((votes.max(1), votes.argmax(1), distances))
    votes, classes, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    return votes, classes, distances
