"""Usage of the codebook of each discrete layer.

Neither direction is better: a count describes a model's codes.
"""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="codebook_perplexity",
        label="perplexity of the codes, by layer",
        function="pipeline.metrics.functions.codebook_usage.perplexity",
        unit="codes",
        larger_is_better=None,
        format=".1f",
        protocol="exp of the entropy of the codes' shares, all positions of all examples",
        modality="codebook",
        per_layer=True,
    ),
    Metric(
        name="codebook_bits",
        label="bits per position, by layer",
        function="pipeline.metrics.functions.codebook_usage.bits",
        unit="bits",
        larger_is_better=None,
        format=".2f",
        protocol="entropy of the codes' shares, all positions of all examples",
        modality="codebook",
        per_layer=True,
    ),
    Metric(
        name="codebook_used",
        label="share of codes used, by layer",
        function="pipeline.metrics.functions.codebook_usage.used",
        unit="",
        larger_is_better=None,
        format=".3f",
        protocol="share of codes that are chosen at least once, all positions of all examples",
        modality="codebook",
        per_layer=True,
    ),
)
