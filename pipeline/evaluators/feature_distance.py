"""Frechet distance between the features of originals and reconstructions (rFID, FVD)."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from pipeline.metrics.functions import frechet
from pipeline.metrics.functions.embedding import Embedding
from pipeline.metrics.functions.frechet import FeatureMoments


class FeatureDistance:
    """The features of originals and reconstructions, collected batch by batch."""

    def __init__(self, embedding: Embedding):
        self._embedding = embedding
        self._originals, self._reconstructions = FeatureMoments(), FeatureMoments()

    def add(
        self,
        originals: Float[Array | np.ndarray, "n d"],
        reconstructions: Float[Array | np.ndarray, "n d"],
        mask: Float[Array | np.ndarray, " b"],
    ) -> None:
        """Add a batch's features; one example of the mask may have several rows, its frames."""
        counts = np.repeat(np.asarray(mask) > 0, len(originals) // len(mask))
        self._originals.add(np.asarray(originals)[counts])
        self._reconstructions.add(np.asarray(reconstructions)[counts])

    def report(self) -> dict[str, Any]:
        """Return the distance by its name, num_examples, dimensions, rank_deficient and protocol.

        The distance is None for fewer than two examples.
        """
        count = self._originals.count
        value = frechet.distance(self._originals, self._reconstructions) if count > 1 else None
        dimensions = len(self._originals.mean)
        protocol = self._embedding.protocol
        if self._originals.rank_deficient:
            protocol += (
                f"; {count} vectors of {dimensions} numbers have singular covariances, so the "
                "figure is unreliable"
            )
        about = dict(
            num_examples=count, dimensions=dimensions, rank_deficient=self._originals.rank_deficient
        )
        return {self._embedding.metric: value, **about, "protocol": protocol}
