"""Number of latent units that a model with Gaussian layers uses, by two definitions.

A unit is one element of a latent. Neither direction is better: a count describes a model's latents.
"""

from pipeline.metrics.catalogue import Metric


def _count(key: str, label: str, protocol: str) -> Metric:
    return Metric(
        name=f"active_units.{key}",
        label=label,
        unit="units",
        larger_is_better=None,
        format="d",
        protocol=protocol,
        modality="latent",
    )


METRICS = (
    _count(
        "by_variance",
        "active by variance",
        "variance over examples of the posterior mean, standardized by the prior, above 0.01",
    ),
    _count("by_kl", "active by KL", "mean KL over examples above 0.01 nats"),
    _count("units", "latent units", "elements of all Gaussian layers"),
)
