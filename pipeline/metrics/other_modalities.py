"""Quality of models of vectors and of text, which have no pixels to compare."""

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
    Metric(
        name="token_accuracy",
        label="tokens written again",
        unit="",
        larger_is_better=True,
        format=".3f",
        protocol="share of a sentence's places, its end included, at which greedy decoding of the "
        "posterior mean writes the right token, mean over sentences",
        modality="text",
        in_summary=True,
    ),
    Metric(
        name="sentence_accuracy",
        label="sentences written again",
        unit="",
        larger_is_better=True,
        format=".3f",
        protocol="share of sentences that greedy decoding of the posterior mean writes as they are",
        modality="text",
    ),
)
