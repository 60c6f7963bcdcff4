"""Time the data pipeline alone: from storage to batches in this process, ready for a device."""

import pathlib
import statistics
import tempfile
import time
from typing import Any

import numpy as np

from pipeline.core import progress
from pipeline.data.images.image_data import ImageData


def measure(
    path: str = "",
    source: str = "records",
    *,
    image_size: int = 32,
    batch_size: int = 128,
    num_workers: int = 0,
    num_batches: int = 500,
    repeats: int = 3,
) -> dict[str, Any]:
    """Return the images per second of the training stream, with flips: the median of `repeats`.

    A tenth of `num_batches` warms up. Without a `path`, the images are 5,000 crops of
    scikit-learn's photographs that are packed first.
    """
    with tempfile.TemporaryDirectory() as folder:
        where = path or _packed_crops(pathlib.Path(folder), image_size)
        data = ImageData(
            source if path else "records",
            where,
            image_size=image_size,
            flip=True,
            num_workers=num_workers,
        )
        begin = time.perf_counter()
        with data.train(batch_size, seed=0) as batches:
            next(batches)
            first_batch_s = time.perf_counter() - begin
            for _ in range(num_batches // 10):
                next(batches)
            seconds = [
                _time_batches(batches, num_batches)
                for _ in progress.track(range(repeats), "timing batches", repeats, "rounds")
            ]
    rates = [num_batches * batch_size / each for each in seconds]
    return {
        "images_per_s": round(statistics.median(rates)),
        "images_per_s_all": [round(rate) for rate in rates],
        "ms_per_batch": round(1000 * statistics.median(seconds) / num_batches, 4),
        "first_batch_s": round(first_batch_s, 3),
        "source": source if path else "records of scikit-learn's crops",
        "num_examples": data.num_examples,
        "image_size": image_size,
        "batch_size": batch_size,
        "num_workers": num_workers,
    }


def _time_batches(batches: Any, count: int) -> float:
    begin = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - begin


def _packed_crops(folder: pathlib.Path, image_size: int) -> str:
    from pipeline.data.packing.pack import pack
    from pipeline.data.sources.sklearn_images import SklearnImages

    crops = SklearnImages(image_size, "train")
    images, _ = crops.gather(np.linspace(0, len(crops) - 1, 5000).astype(np.int64))
    np.save(folder / "images.npy", images)
    pack(str(folder / "images.npy"), str(folder / "packed"))
    return str(folder / "packed")
