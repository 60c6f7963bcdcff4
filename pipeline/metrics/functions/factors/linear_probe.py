"""The accuracy of linear classifiers of the factors."""

import numpy as np

from pipeline.metrics.functions.factors import Codes, Factors, number_for_training


def linear_probe(codes: Codes, factors: Factors) -> float:
    """Return the accuracy of a logistic regression of each factor, averaged over the factors.

    Codes are standardized by the examples for training, and the regression has C = 1.
    """
    from sklearn.linear_model import LogisticRegression

    cut = number_for_training(len(codes))
    std = codes[:cut].std(axis=0)
    codes = (codes - codes[:cut].mean(axis=0)) / np.where(std > 0, std, 1)
    accuracies = []
    for factor in factors.T:
        model = LogisticRegression(max_iter=300).fit(codes[:cut], factor[:cut])
        accuracies.append(model.score(codes[cut:], factor[cut:]))
    return float(np.mean(accuracies))
