"""Statistics of the latents of a codec, by which a model over them divides."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import DataError
from pipeline.metrics.functions.frechet import FeatureMoments


def measure(codec: AnySizeCodec, batches: Iterable[UInt8[np.ndarray, "..."]]) -> dict[str, Any]:
    """Return the statistics of posterior means over images or clips.

    `mean` and `std` are one for each channel, `shift` and `scale` one for all: (z - mean) / std has
    deviation 1 in each channel; (z - shift) * scale has it over all of them together, as latent
    diffusion's scaling factor (arXiv 2112.10752, appendix G).

    Raises:
      DataError: there was no example.
    """
    moments, examples = FeatureMoments(), 0
    for images in batches:
        moments.add(np.asarray(codec.encode(images).mode()).reshape(-1, codec.latent_channels))
        examples += len(images)
    if not examples:
        raise DataError("there are no examples to measure latents of")
    found = summary(moments.mean, np.sqrt(moments.variance))
    return found | {"num_examples": examples, "num_latents": moments.count}


def summary(
    mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
) -> dict[str, Any]:
    """Return config.json's "latents": `mean` and `std` of each channel, `shift` and `scale`."""
    means, deviations = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return {
        "mean": means.tolist(),
        "std": deviations.tolist(),
        "shift": float(means.mean()),
        "scale": float(1 / np.sqrt(np.square(deviations).mean() + means.var())),
    }
