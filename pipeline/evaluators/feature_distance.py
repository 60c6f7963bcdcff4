"""How far the features of all reconstructions are from those of all originals, as two distributions (rFID, FVD)."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from pipeline.metrics.functions import frechet
from pipeline.metrics.functions.embedding import Embedding
from pipeline.metrics.functions.frechet import FeatureMoments


class FeatureDistance:
    """Collects features of both sides, batch by batch."""

    def __init__(self, embedding: Embedding):
        self._embedding = embedding
        self._originals, self._reconstructions = FeatureMoments(), FeatureMoments()

    def add(
        self,
        originals: Float[Array | np.ndarray, "n d"],
        reconstructions: Float[Array | np.ndarray, "n d"],
        mask: Float[Array | np.ndarray, " b"],
    ) -> None:
        """Features of both; several rows may be the frames of one example of the mask."""
        counts = np.repeat(np.asarray(mask) > 0, len(originals) // len(mask))
        self._originals.add(np.asarray(originals)[counts])
        self._reconstructions.add(np.asarray(reconstructions)[counts])

    def report(self) -> dict[str, Any]:
        """The distance by its name, or None of less than two examples; num_examples, dimensions, and a protocol."""
        count = self._originals.count
        value = frechet.distance(self._originals, self._reconstructions) if count > 1 else None
        dimensions = len(self._originals.mean)
        protocol = self._embedding.meaning
        if self._originals.rank_deficient:
            protocol += f"; {count} vectors of {dimensions} numbers have singular covariances: a figure to be wary of"
        about = dict(
            num_examples=count, dimensions=dimensions, rank_deficient=self._originals.rank_deficient
        )
        return {self._embedding.shown: value, **about, "protocol": protocol}
