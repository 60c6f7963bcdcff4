"""Aspect buckets: the heights and widths of a run's clips."""

from typing import Any

from pipeline.core.errors import ConfigError

Shape = tuple[int, int]


def shapes_of(buckets: Any) -> list[Shape]:
    """Return the (height, width) of each of data.buckets. Raises ConfigError for bad values."""
    if not isinstance(buckets, list | tuple):
        raise ConfigError(
            f"data.buckets={buckets!r} must be a list of heights and widths, such as [[192, 336]]"
        )
    shapes: list[Shape] = []
    for bucket in buckets:
        pair = isinstance(bucket, list | tuple) and len(bucket) == 2
        if not pair or not all(isinstance(side, int) and side > 0 for side in bucket):
            raise ConfigError(
                f"data.buckets: {bucket!r} must be a height and a width, such as [192, 336]"
            )
        shapes.append((bucket[0], bucket[1]))
    if len(set(shapes)) < len(shapes):
        raise ConfigError(f"data.buckets={buckets!r} has a duplicate")
    return shapes
