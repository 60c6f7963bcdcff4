"""The mutual information gap (arXiv 1802.04942, section 4)."""

import numpy as np
from jaxtyping import Float, Int

from pipeline.metrics.functions.factors import Codes, Factors


def mig(codes: Codes, factors: Factors, *, num_bins: int = 20) -> float:
    """Return the mean of `gaps` over the factors."""
    return float(gaps(codes, factors, num_bins=num_bins).mean())


def gaps(codes: Codes, factors: Factors, *, num_bins: int = 20) -> Float[np.ndarray, " k"]:
    """Return by how much the best code of each factor has more information than the second one.

    It is a share of the factor's entropy. The codes are cut into `num_bins` intervals of one width
    between minimum and maximum, as in disentanglement_lib (arXiv 1811.12359). The paper integrates
    over samples in place of bins, and leaves out the factor shape of dSprites.
    """
    binned = bins(codes, num_bins)
    found = []
    for factor in factors.T:
        information = [mutual_information(code, factor) for code in binned.T]
        second, first = sorted([0.0, *information])[-2:]
        found.append((first - second) / entropy(factor))
    return np.array(found)


def bins(codes: Codes, num_bins: int) -> Int[np.ndarray, "n d"]:
    """Return the interval of each code, from 0; a constant code is in one interval."""
    low, high = codes.min(axis=0), codes.max(axis=0)
    width = np.where(high > low, high - low, 1)
    return np.minimum((codes - low) / width * num_bins, num_bins - 1).astype(np.int64)


def mutual_information(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Return the mutual information of two columns of numbers from 0, in nats."""
    joint = a * (b.max() + 1) + b
    return entropy(a) + entropy(b) - entropy(joint)


def entropy(a: Int[np.ndarray, " n"]) -> float:
    """Return the entropy of a column of numbers from 0, in nats."""
    counts = np.bincount(a)
    shares = counts[counts > 0] / len(a)
    return float(-np.sum(shares * np.log(shares)))
