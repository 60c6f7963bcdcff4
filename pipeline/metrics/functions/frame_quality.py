"""Quality of the frames of one file, with at most two frames in memory."""

import collections
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from pipeline.backend.jit import jit
from pipeline.metrics import catalogue

FrameMetric = Callable[[Array, Array], Float[Array, " b"]]  # images [b h w c], reconstructions


class FrameQuality:
    """Means over an image, or over the frames of a video.

    Measures the catalogue's frame metrics and flicker, and the metrics in `extra` by name.
    """

    def __init__(self, extra: Mapping[str, FrameMetric] | None = None):
        self._extra = extra or {}
        self._sums: dict[str, float] = collections.defaultdict(float)
        self._error: np.ndarray | None = None  # original - reconstruction of the previous frame
        self._changes, self._frames = 0.0, 0

    def add(self, original: UInt8[np.ndarray, "h w c"], frame: UInt8[np.ndarray, "h w c"]) -> None:
        """Add the next frame and its reconstruction."""
        pair = (np.ascontiguousarray(original)[None], np.ascontiguousarray(frame)[None])
        measured = _measured(*pair)
        values = {name: measured[name] for name in catalogue.frame_metrics(*original.shape[:2])}
        values |= {
            name: metric(*map(jax.numpy.asarray, pair))[0] for name, metric in self._extra.items()
        }
        for name, value in values.items():
            self._sums[name] += float(value)
        error = original.astype(np.int16) - frame
        if self._error is not None:
            self._changes += float(np.abs(error - self._error).mean()) / 255
        self._error = error
        self._frames += 1

    def means(self) -> dict[str, float]:
        """Return the mean of each metric by name; `flicker` needs two frames or more."""
        found = {name: total / self._frames for name, total in self._sums.items()}
        return found | ({"flicker": self._changes / (self._frames - 1)} if self._frames > 1 else {})


@jit
def _measured(a: Array, b: Array) -> dict[str, Array]:
    metrics = catalogue.frame_metrics(*a.shape[1:3])
    return {name: metric(a, b)[0] for name, metric in metrics.items()}
