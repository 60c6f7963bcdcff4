"""Disentanglement, completeness and informativeness (Eastwood and Williams, ICLR 2018)."""

import numpy as np
from jaxtyping import Float

from pipeline.metrics.functions.factors import Codes, Factors, number_for_training

_SMALL = 1e-11  # disentanglement_lib's, so that a code without importance has an entropy


def dci(codes: Codes, factors: Factors) -> dict[str, float]:
    """Return the three figures by the name of their metric.

    A gradient boosted classifier (scikit-learn's defaults, as in disentanglement_lib, arXiv
    1811.12359) of each factor gives the codes' importances. It is fitted once for each value of the
    factor, which takes minutes for 10,000 examples of dSprites. Informativeness is the share of the
    other examples that it classifies correctly.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    cut = number_for_training(len(codes))
    importances, accuracies = [], []
    for factor in factors.T:
        model = GradientBoostingClassifier(random_state=0).fit(codes[:cut], factor[:cut])
        importances.append(np.abs(model.feature_importances_))
        accuracies.append(model.score(codes[cut:], factor[cut:]))
    importance = np.array(importances).T
    return dict(
        dci_disentanglement=disentanglement(importance),
        dci_completeness=disentanglement(importance.T),
        dci_informativeness=float(np.mean(accuracies)),
    )


def disentanglement(importance: Float[np.ndarray, "d k"]) -> float:
    """Return how far each code is important for one factor only, weighted by its importance.

    It is 1 - H / log k of each code, with H the entropy of its importances. Completeness is the
    same of the transposed matrix.
    """
    shares = importance + _SMALL
    shares = shares / shares.sum(axis=1, keepdims=True)
    spread = -np.sum(shares * np.log(shares), axis=1) / np.log(shares.shape[1])
    weights = importance.sum(axis=1) / max(importance.sum(), _SMALL)
    return float(np.sum(weights * (1 - spread)))
