"""Scores of classifiers that recognize which factor a group of examples has in common.

The papers render new examples for each group. Here the groups are drawn from the examples that are
evaluated, so that any dataset with factors will do.
"""

from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.metrics.functions.factors import Codes, Factors

NUM_TRAINING, NUM_TEST = 10_000, 5_000  # groups
_GROUP = 64
_USED_STD = 0.05  # of codes that may be voted for, as in disentanglement_lib (arXiv 1811.12359)
_AT_ONCE = 1000  # groups


def factor_vae_score(codes: Codes, factors: Factors) -> float:
    """Return the FactorVAE score (arXiv 1802.05983, section 4).

    In a group of 64 examples with one factor in common, the code with the least variance, relative
    to that over all examples, is a vote for the factor. The score is the accuracy of the majority's
    choice on other groups. Codes with a standard deviation below 0.05 are left out, and without any
    others the score is 0.
    """
    codes = codes[:, codes.std(axis=0) >= _USED_STD]
    if not codes.shape[1]:
        return 0.0
    variance = codes.var(axis=0, ddof=1)
    alike, rng = _Alike(factors), np.random.default_rng(0)
    factor = rng.integers(factors.shape[1], size=NUM_TRAINING + NUM_TEST)
    votes = []
    for part in np.split(factor, range(_AT_ONCE, len(factor), _AT_ONCE)):
        first = rng.integers(len(codes), size=(len(part), 1))
        group = alike.draw(np.repeat(first, _GROUP, axis=1), part, rng)
        votes.append(np.argmin(codes[group].var(axis=1, ddof=1) / variance, axis=1))
    vote = np.concatenate(votes)
    counts = np.zeros((codes.shape[1], factors.shape[1]), np.int64)
    np.add.at(counts, (vote[:NUM_TRAINING], factor[:NUM_TRAINING]), 1)
    return float(np.mean(counts.argmax(axis=1)[vote[NUM_TRAINING:]] == factor[NUM_TRAINING:]))


def beta_vae_score(codes: Codes, factors: Factors) -> float:
    """Return the beta-VAE score (Higgins et al., ICLR 2017, section 3).

    The examples of each of 64 pairs have one factor in common, the same for all pairs. The score is
    the accuracy, on other groups, of a logistic regression that recognizes the factor from the mean
    absolute difference of the pairs' codes.
    """
    from sklearn.linear_model import LogisticRegression

    alike, rng = _Alike(factors), np.random.default_rng(0)
    factor = rng.integers(factors.shape[1], size=NUM_TRAINING + NUM_TEST)
    differences = []
    for part in np.split(factor, range(_AT_ONCE, len(factor), _AT_ONCE)):
        first = rng.integers(len(codes), size=(len(part), _GROUP))
        second = alike.draw(first, part, rng)
        differences.append(np.abs(codes[first] - codes[second]).mean(axis=1))
    difference = np.concatenate(differences)
    model = LogisticRegression(max_iter=300).fit(difference[:NUM_TRAINING], factor[:NUM_TRAINING])
    return float(model.score(difference[NUM_TRAINING:], factor[NUM_TRAINING:]))


class _Alike:
    """Draws examples that have one factor in common with given ones."""

    def __init__(self, factors: Factors):
        self.order = np.argsort(factors, axis=0, kind="stable")  # [n k]: examples by their value
        self.begin, self.count = np.empty_like(factors), np.empty_like(factors)
        for column, values in enumerate(factors.T):
            ordered = values[self.order[:, column]]
            self.begin[:, column] = np.searchsorted(ordered, values, side="left")
            self.count[:, column] = np.searchsorted(ordered, values, side="right")
        self.count -= self.begin

    def draw(
        self, examples: Int[np.ndarray, "g m"], factor: Int[np.ndarray, " g"], rng: Any
    ) -> Int[np.ndarray, "g m"]:
        """Return an example with the same value of the row's factor for each of `examples`."""
        column = np.broadcast_to(factor[:, None], examples.shape)
        number = rng.integers(self.count[examples, column])
        return self.order[self.begin[examples, column] + number, column]
