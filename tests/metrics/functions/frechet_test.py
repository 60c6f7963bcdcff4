"""The Frechet distance: closed forms, scipy's matrix square root, singular covariances, streams."""

import numpy as np
import pytest
import scipy.linalg

from pipeline.metrics.functions import frechet
from pipeline.metrics.functions.frechet import FeatureMoments


def covariance(size: int, rank: int, seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(size, rank))
    return factor @ factor.T / rank


def moments(features: np.ndarray, *sizes: int) -> FeatureMoments:
    found, start = FeatureMoments(), 0
    for size in (*sizes, len(features)):
        found.add(features[start : start + size])
        start += size
    return found


def test_closed_forms():
    eye = np.eye(3)
    found = frechet.gaussian_distance(np.zeros(3), eye, np.array([1.0, 2, 2]), 4 * eye)
    np.testing.assert_allclose(found, 9 + 3 * (2 - 1) ** 2, rtol=1e-12)
    # For covariances that commute: the sum of squared differences of their roots' eigenvalues.
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    a, b = np.array([1.0, 4, 9, 0, 2]), np.array([4.0, 1, 0, 9, 2])
    found = frechet.gaussian_distance(
        np.zeros(5), (basis * a) @ basis.T, np.zeros(5), (basis * b) @ basis.T
    )
    np.testing.assert_allclose(found, np.square(np.sqrt(a) - np.sqrt(b)).sum(), rtol=1e-6)


def test_equal_to_the_distance_with_scipys_root_of_the_product():
    a, b = covariance(24, 60, 1), covariance(24, 60, 2)
    mean = np.random.default_rng(3).normal(size=24)
    root = scipy.linalg.sqrtm(a @ b)
    expected = mean @ mean + np.trace(a + b - 2 * np.real(root))
    np.testing.assert_allclose(
        frechet.gaussian_distance(mean, a, np.zeros(24), b), expected, rtol=1e-8
    )


def test_singular_covariances():
    """Covariances of rank 4 in 30 dimensions have a distance, where scipy's root is unreliable."""
    a, b = covariance(30, 4, 1), covariance(30, 4, 2)
    assert frechet.gaussian_distance(np.zeros(30), a, np.zeros(30), a) < 1e-6
    left, right = (np.linalg.cholesky(c + 1e-13 * np.eye(30)) for c in (a, b))
    nuclear = np.linalg.svd(left.T @ right, compute_uv=False).sum()  # tr (C1^1/2 C2 C1^1/2)^1/2
    expected = np.trace(a) + np.trace(b) - 2 * nuclear
    np.testing.assert_allclose(
        frechet.gaussian_distance(np.zeros(30), a, np.zeros(30), b), expected, rtol=1e-4
    )
    few = np.random.default_rng(0).normal(size=(30, 30))
    assert (
        moments(few).rank_deficient and not moments(np.concatenate([few, few[:1]])).rank_deficient
    )


def test_a_stream_has_the_moments_of_the_whole_set():
    features = 1e4 + np.random.default_rng(0).normal(size=(50, 6))
    parts = moments(features, 7, 0, 1, 20)
    assert parts.count == 50
    np.testing.assert_allclose(parts.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(parts.covariance, np.cov(features.T), rtol=1e-9, atol=1e-12)
    shifted = moments(features + np.array([3.0, 0, 0, 0, 0, 4]), 25)
    np.testing.assert_allclose(frechet.distance(parts, shifted), 25, rtol=1e-6)
    with pytest.raises(ValueError, match="two examples or more, and there are 1"):
        _ = moments(features[:1]).covariance
