"""Temporal flicker error of reconstructed clips."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="flicker",
        label="flicker error",
        function="pipeline.distances.flicker.flicker",
        unit="",
        larger_is_better=False,
        format=".5f",
        protocol="mean |(x[t+1] - x[t]) - (y[t+1] - y[t])| over a clip's pairs of frames, "
        "values in [0, 1]",
        modality="video",
    ),
)
