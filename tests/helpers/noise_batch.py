"""A batch of noise with the shapes of a recipe's data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.build.outline import batch_of


def noise_batch(settings: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Return a global batch for a complete recipe; labels are 0, and no row is padding."""
    random = np.random.default_rng(seed)
    rows = settings["batch_size"]
    about = dict(
        label=np.zeros(rows, np.int32),
        index=np.arange(rows, dtype=np.int32),
        mask=np.ones(rows, np.float32),
    )

    def values(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if dtype == np.uint8:
            return random.integers(0, 256, shape, dtype)
        if dtype == np.int32:  # of text
            return random.integers(0, settings["data"]["vocabulary_size"], shape, dtype)
        return random.lognormal(size=shape).astype(dtype)

    examples = {
        name: values(shape, dtype)
        for name, (shape, dtype) in batch_of(settings).items()
        if name not in about
    }
    return examples | about
