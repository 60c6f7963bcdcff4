"""Frechet distance of two sets of features, taken as Gaussians (FID, arXiv 1706.08500, eq. 6).

    d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

Everything is float64 on the host, and sets arrive in batches of any size.
"""

import numpy as np
from jaxtyping import Float


class FeatureMoments:
    """Mean and covariance of features that arrive in batches.

    Batches are merged by their own means (Chan et al. 1979), because sums of squares minus squares
    of sums cancel.
    """

    def __init__(self):
        self.count = 0
        self.mean: Float[np.ndarray, " d"] = np.zeros(0)
        self._scatter: Float[np.ndarray, "d d"] = np.zeros((0, 0))

    def add(self, features: Float[np.ndarray, "n d"]) -> None:
        """Add examples."""
        features = np.asarray(features, np.float64)
        if not len(features):
            return
        if not self.count:
            self.mean, self._scatter = np.zeros(features.shape[1]), np.zeros(features.shape[1:] * 2)
        mean = features.mean(axis=0)
        centred, shift = features - mean, mean - self.mean
        total = self.count + len(features)
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (
            self.count * len(features) / total
        )
        self.mean = self.mean + shift * (len(features) / total)
        self.count = total

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Return the unbiased covariance of the examples.

        Raises:
          ValueError: there are fewer than two examples.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two examples or more, and there are {self.count}")
        return self._scatter / (self.count - 1)

    @property
    def variance(self) -> Float[np.ndarray, " d"]:
        """Return the variance of each feature about the mean of these examples (not unbiased)."""
        return np.diagonal(self._scatter) / self.count

    @property
    def rank_deficient(self) -> bool:
        """Return whether there are too few examples for a covariance of full rank."""
        return self.count <= len(self.mean)


def distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """Return d^2 of two sets.

    It is biased upwards for few examples, and leaves directions out for `rank_deficient` sets.
    """
    return gaussian_distance(a.mean, a.covariance, b.mean, b.covariance)


def gaussian_distance(
    mean1: Float[np.ndarray, " d"],
    covariance1: Float[np.ndarray, "d d"],
    mean2: Float[np.ndarray, " d"],
    covariance2: Float[np.ndarray, "d d"],
) -> float:
    """Return d^2 of two Gaussians, 0 or more.

    (C1 C2)^(1/2) has the trace of (S C2 S)^(1/2) with S = C1^(1/2), whose argument is symmetric:
    its eigenvalues are real even where the covariances are singular, and eigenvalues that rounding
    makes negative are set to 0. Other implementations take the square root of the product itself,
    and add to the diagonal or drop imaginary parts to obtain it.
    """
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = root @ covariance2 @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    trace = (
        np.trace(covariance1)
        + np.trace(covariance2)
        - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum()
    )
    return max(float(np.square(mean1 - mean2).sum() + trace), 0.0)
