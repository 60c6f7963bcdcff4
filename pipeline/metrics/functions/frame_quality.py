"""How close the frames of one file come to the originals, of which there are never more than two at hand."""

import collections
from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Array, UInt8

from pipeline.backend.jit import jit
from pipeline.metrics import quality
from pipeline.metrics.quality import Measure


class FrameQuality:
    """Means over a picture or a video's frames: the measures of `quality.of_frames`, flicker, and `further` ones."""

    def __init__(self, further: Mapping[str, Measure] | None = None):
        self._further = further or {}
        self._sums: dict[str, float] = collections.defaultdict(float)
        self._error: np.ndarray | None = None  # of the frame before
        self._changes, self._frames = 0.0, 0

    def add(self, original: UInt8[np.ndarray, "h w c"], frame: UInt8[np.ndarray, "h w c"]) -> None:
        """The next frame and its reconstruction."""
        pair = (np.ascontiguousarray(original)[None], np.ascontiguousarray(frame)[None])
        measured = _measured(*pair)
        values = {name: measured[name] for name in quality.of_frames(*original.shape[:2])}
        values |= {
            name: measure(*map(jax.numpy.asarray, pair))[0]
            for name, measure in self._further.items()
        }
        for name, value in values.items():
            self._sums[name] += float(value)
        error = original.astype(np.int16) - frame
        if self._error is not None:
            self._changes += float(np.abs(error - self._error).mean()) / 255
        self._error = error
        self._frames += 1

    def means(self) -> dict[str, float]:
        """By name; `flicker` where there are two frames or more."""
        found = {name: total / self._frames for name, total in self._sums.items()}
        return found | ({"flicker": self._changes / (self._frames - 1)} if self._frames > 1 else {})


@jit
def _measured(a: Array, b: Array) -> dict[str, Array]:
    return {name: measure(a, b)[0] for name, measure in quality.of_frames(*a.shape[1:3]).items()}
