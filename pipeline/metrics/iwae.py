"""The importance-weighted bound on the likelihood (arXiv 1509.00519)."""

from pipeline.metrics.catalogue import Metric

METRICS = (
    Metric(
        name="iwae_bits_per_dim",
        label="importance-weighted bound",
        function="pipeline.metrics.functions.bits_per_dim.bits_per_dim",
        unit="bits/dim",
        larger_is_better=False,
        format=".4f",
        protocol="iwae_nats over the number of values of an example and log 2",
        modality="likelihood",
        option="num_importance_samples",
    ),
    Metric(
        name="iwae_nats",
        label="importance-weighted bound",
        unit="nats",
        larger_is_better=False,
        format=".2f",
        protocol="-log mean_k p(x, z_k) / q(z_k | x), mean over examples",
        modality="likelihood",
        option="num_importance_samples",
        restates="iwae_bits_per_dim",
    ),
    Metric(
        name="iwae_perplexity",
        label="perplexity by the importance-weighted bound",
        unit="",
        larger_is_better=False,
        format=".2f",
        protocol="exp of the sum of iwae_nats over the number of tokens, ends of lines included",
        modality="likelihood",
        option="num_importance_samples",
    ),
)
