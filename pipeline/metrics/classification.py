"""The error of a model that infers the class of an example."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="classification_error",
        label="classification error",
        unit="",
        larger_is_better=False,
        format=".4f",
        protocol="share of the labelled examples whose most probable class under q(y | x) is wrong",
        modality="class",
        in_summary=True,
    ),
)
