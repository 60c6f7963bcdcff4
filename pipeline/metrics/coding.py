"""Length of the code of a model's latents, without what the pixels take beyond them."""

from pipeline.metrics.catalogue import Metric


def _bits(name: str, label: str, unit: str, per: str) -> Metric:
    return Metric(
        name=name,
        label=label,
        unit=unit,
        larger_is_better=None,
        format=".4f",
        protocol="KL of all layers in bits (for codes: the entropy of their shares in the set, at "
        f"each position), over the number of {per}",
        modality="latent",
        option="rate",
    )


METRICS = (
    _bits("code_bits_per_value", "latents' code", "bits/value", "values of an example"),
    _bits("code_bits_per_pixel", "latents' code", "bits/pixel", "pixels of an example"),
)
