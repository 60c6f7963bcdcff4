"""Made-up vectors with heavy tails: correlated lognormal numbers, of known entropy."""

import math

import numpy as np
from jaxtyping import Float, Float32, Int

from pipeline.data import randomness
from pipeline.data.source import Record, Vectors

MODALITY = "vector"

NUM_EXAMPLES = {"train": 50_000, "eval": 5_000}
# Of the logarithms of the numbers: the mean of each is 0.
DEVIATION, CORRELATION = 1.0, 0.5
_SEED = 0


class Lognormal:
    """Vectors exp(DEVIATION * n), where n is normal and each two of its elements are correlated.

    Example k of a split is a pure function of the split and k. The numbers of a vector share a
    normal factor, so that there is something for a latent to tell.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, num_features: int, split: str):
        self.shape = (num_features,)
        self._count, self._first = NUM_EXAMPLES[split], 0
        if split == "eval":
            self._first = NUM_EXAMPLES["train"]
        self.fingerprint = f"lognormal:{num_features}:{DEVIATION}:{CORRELATION}:{split}"

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return Record(self.gather(np.array([index]))[0][0], -1)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Vectors:
        normal = self._normal(np.asarray(indices))
        shared, own = normal[:, :1], normal[:, 1:]
        logs = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * own
        vectors: Float32[np.ndarray, "n d"] = np.exp(DEVIATION * logs).astype(np.float32)
        return vectors, np.full(len(vectors), -1, np.int32)

    def name(self, index: int) -> str:
        return f"lognormal vector {index}"

    def _normal(self, indices: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n d_and_one"]:
        """Return independent normal numbers of examples, by Box and Muller's transform."""
        bits = randomness.draw(_SEED, randomness.VALUES, self._first + indices)
        words = randomness.spread(bits, 2 * (self.shape[0] + 1))
        uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        radius = np.sqrt(-2 * np.log1p(-uniform[:, ::2]))
        return radius * np.cos(2 * math.pi * uniform[:, 1::2])


def entropy(num_features: int) -> float:
    """Return the entropy of a vector in nats, which no model's negative log-likelihood is below."""
    covariance = np.full((num_features, num_features), CORRELATION)
    np.fill_diagonal(covariance, 1.0)
    log_det = np.linalg.slogdet(2 * math.pi * math.e * DEVIATION**2 * covariance)[1]
    return 0.5 * float(log_det)  # plus the mean of the sum of the logarithms, which is 0


create = Lognormal
