"""How well posterior means separate the factors that images were made from."""

from pipeline.metrics.catalogue import Metric

_SPLIT = "a third of the examples, the rest for training, mean over factors"


def _score(name: str, label: str, protocol: str, function: str = "") -> Metric:
    return Metric(
        name=name,
        label=label,
        function=function and f"pipeline.metrics.functions.factors.{function}",
        unit="",
        larger_is_better=True,
        format=".3f",
        protocol=f"posterior means, {protocol}",
        modality="factors",
        option="factors",
    )


METRICS = (
    _score(
        "mig",
        "mutual information gap",
        "20 intervals of one width, gap between the two codes with the most information on a "
        "factor over its entropy, mean over all factors",
        "mig.mig",
    ),
    _score(
        "dci_disentanglement",
        "DCI disentanglement",
        "1 minus the normalized entropy of a code's importances to a gradient boosted classifier, "
        "weighted by the code's share",
    ),
    _score(
        "dci_completeness",
        "DCI completeness",
        "1 minus the normalized entropy of a factor's importances, weighted by the factor's share",
    ),
    _score(
        "dci_informativeness",
        "DCI informativeness",
        f"accuracy of the gradient boosted classifier on {_SPLIT}",
    ),
    _score(
        "sap",
        "SAP",
        "gap between the two codes that predict a factor best, accuracy of a linear support vector "
        f"machine on one code (C = 0.01, balanced), {_SPLIT}",
        "sap.sap",
    ),
    _score(
        "factor_vae_score",
        "FactorVAE score",
        "accuracy of the majority vote by the code of least variance in 64 examples with a factor "
        "in common, 10,000 groups for training and 5,000 for the score, drawn from the examples",
        "fixed_factor.factor_vae_score",
    ),
    _score(
        "beta_vae_score",
        "beta-VAE score",
        "accuracy of a logistic regression of the factor that 64 pairs of examples have in common "
        "on their mean absolute difference, 10,000 groups for training and 5,000 for the score",
        "fixed_factor.beta_vae_score",
    ),
    _score(
        "linear_probe",
        "linear probe",
        f"accuracy of a logistic regression on standardized codes (C = 1), {_SPLIT}",
        "linear_probe.linear_probe",
    ),
)
