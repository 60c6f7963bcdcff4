"""How well scores of single examples tell anomalies from what a model was trained on."""

from pipeline.metrics.catalogue import Metric


def _auroc(score: str, label: str, protocol: str, modality: str) -> Metric:
    return Metric(
        name=f"auroc_{score}",
        label=f"AUROC of {label}",
        unit="",
        larger_is_better=True,
        format=".4f",
        protocol="area under the ROC curve, with the labels of --normal_labels as the negative "
        f"class and a larger score as the positive one, of {protocol}",
        modality=modality,
        option="anomaly",
    )


METRICS = (
    _auroc("elbo", "the negative ELBO", "distortion + rate of one sample", "likelihood"),
    _auroc("iwae", "the importance-weighted bound", "the bound's negative", "likelihood"),
    _auroc("rate", "the KL", "the KL of all layers", "latent"),
    _auroc("mse", "the reconstruction error", "mse", "image"),
)
