"""Statistics of the latents of a codec, by which a model over them divides."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.codec.any_size import AnySizeCodec
from pipeline.core.errors import DataError
from pipeline.metrics.functions.frechet import FeatureMoments


def measure(
    codec: AnySizeCodec, batches: Iterable[UInt8[np.ndarray, "..."]], *, per_frame: bool = False
) -> dict[str, Any]:
    """Return the statistics of posterior means over images or clips.

    `mean` and `std` are one for each channel, `shift` and `scale` one for all: (z - mean) / std has
    deviation 1 in each channel; (z - shift) * scale has it over all of them together, as latent
    diffusion's scaling factor (arXiv 2112.10752, appendix G).

    Args:
      per_frame: measure each latent frame of clips by itself, as Cosmos does (arXiv 2501.03575).

    Raises:
      DataError: there was no example.
    """
    moments: list[FeatureMoments] = []
    examples = 0
    for images in batches:
        latents = np.asarray(codec.encode(images).mode())
        parts = latents.swapaxes(0, 1) if per_frame else latents[None]
        moments += [FeatureMoments() for _ in range(len(parts) - len(moments))]
        for each, part in zip(moments, parts):
            each.add(part.reshape(-1, codec.latent_channels))
        examples += len(images)
    if not examples:
        raise DataError("there are no examples to measure latents of")
    mean, std = (
        np.stack(values)
        for values in zip(*((each.mean, np.sqrt(each.variance)) for each in moments))
    )
    found = summary(mean, std) if per_frame else summary(mean[0], std[0])
    return found | {"num_examples": examples, "num_latents": sum(each.count for each in moments)}


def summary(
    mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
) -> dict[str, Any]:
    """Return config.json's "latents": `mean` and `std` of each channel, `shift` and `scale`.

    Given [frames channels], the statistics are those of each of the first latent frames.
    """
    means, deviations = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return {
        "mean": means.tolist(),
        "std": deviations.tolist(),
        "shift": float(means.mean()),
        "scale": float(1 / np.sqrt(np.square(deviations).mean() + means.var())),
    }
