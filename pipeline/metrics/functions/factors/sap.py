"""The separated attribute predictability score (SAP, arXiv 1711.00848, section 3)."""

import numpy as np

from pipeline.metrics.functions.factors import Codes, Factors, number_for_training


def sap(codes: Codes, factors: Factors) -> float:
    """Return by how much the best code of a factor predicts it better than the second one.

    A linear support vector machine (C = 0.01, classes weighted by their frequency) predicts the
    factor's value from one code alone. The gap is one of accuracies on the other examples, averaged
    over factors, as disentanglement_lib has it (arXiv 1811.12359) for factors of discrete values.
    """
    from sklearn.svm import LinearSVC

    cut, gaps = number_for_training(len(codes)), []
    for factor in factors.T:
        accuracies = [0.0]
        for code in codes.T[..., None]:
            model = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            model.fit(code[:cut], factor[:cut])
            accuracies.append(float(model.score(code[cut:], factor[cut:])))
        second, first = sorted(accuracies)[-2:]
        gaps.append(first - second)
    return float(np.mean(gaps))
