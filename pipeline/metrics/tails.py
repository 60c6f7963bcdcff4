"""Quantiles of a model's draws."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="tails.quantile_error",
        label="error of the draws' quantiles",
        unit="nats",
        larger_is_better=False,
        format=".4f",
        protocol="mean of |log(1 + |q|) of the data's quantile - that of as many draws|, at the "
        "levels 0.5, 0.9, 0.99 and 0.999 of each number of a vector",
        modality="vector",
    ),
)
