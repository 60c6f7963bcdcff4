"""Writes images of a dataset as PNG files, as a model would see them."""

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from pipeline.data.image_data import ImageData
from pipeline.errors import ConfigError


def write_examples(data: ImageData, out: str, *, split: str, num: int, seed: int = 0) -> list[str]:
    """Saves `num` images of "train" or "eval" to the folder `out`; returns the files' paths."""
    if split not in ("train", "eval"):
        raise ConfigError(f"--split={split} must be train or eval")
    if num < 1:
        raise ConfigError(f"--num={num} must be at least 1")
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for image, index in _examples(data, split, num, seed):
        path = folder / f"{split}-{index:06d}.png"
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path)
        written.append(str(path))
    return written


def _examples(data: ImageData, split: str, num: int, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    batches = data.train(1, seed) if split == "train" else data.evaluate(1, num)
    with batches:
        for _, batch in zip(range(num), batches, strict=False):
            if batch["mask"][0]:
                yield batch["image"][0], int(batch["index"][0])
