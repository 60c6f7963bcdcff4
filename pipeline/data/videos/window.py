"""Scales and crops frames of any size to height x width, at the same position in every frame."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.core.errors import ConfigError
from pipeline.data import randomness
from pipeline.data.images.transforms import CROPS, RESIZES
from pipeline.data.loading.batches import Draws
from pipeline.data.unreadable import Unreadable


@dataclasses.dataclass(frozen=True)
class Window:
    """A crop of height x width pixels from scaled frames.

    Attributes:
      height, width: size of the result, in pixels.
      crop: "random" or "center", the position of the crop.
      resize: "shrink" scales frames down as far as the crop still fits, and refuses smaller frames;
        "fit" also enlarges; "none" keeps their own resolution.
      flip: mirror every second clip, at random, left to right.
    """

    height: int
    width: int
    crop: str = "center"
    resize: str = "shrink"
    flip: bool = False

    def __post_init__(self):
        if self.height < 1 or self.width < 1:
            raise ConfigError(
                f"clips of {self.height}x{self.width} pixels: data.image_size must be at least 1"
            )
        if self.crop not in CROPS:
            raise ConfigError(f"data.crop={self.crop!r} must be one of {', '.join(CROPS)}")
        if self.resize not in RESIZES:
            raise ConfigError(f"data.resize={self.resize!r} must be one of {', '.join(RESIZES)}")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, 3)

    def for_evaluation(self) -> "Window":
        """Return the window without randomness: centre crop, no flip."""
        return dataclasses.replace(self, crop="center", flip=False)

    def render(self, frame: Any, draws: Draws) -> UInt8[np.ndarray, "h w 3"]:
        """Return the window of a frame, which has a `size` and can be scaled by `pixels`.

        Raises:
          Unreadable: the frame is too small.
        """
        height, width = frame.size
        scale = 1.0 if self.resize == "none" else max(self.height / height, self.width / width)
        if (height < self.height or width < self.width) and self.resize != "fit":
            raise Unreadable(
                f"{width}x{height} pixels are too few for {self.width}x{self.height}: "
                "lower data.image_size, or set data.resize='fit' to enlarge"
            )
        height, width = (
            max(self.height, round(height * scale)),
            max(self.width, round(width * scale)),
        )
        top, left = (height - self.height) // 2, (width - self.width) // 2
        if self.crop == "random":
            top = randomness.below(draws.y, height - self.height + 1)
            left = randomness.below(draws.x, width - self.width + 1)
        return frame.pixels(height, width)[top : top + self.height, left : left + self.width]

    def finish(
        self, clips: UInt8[np.ndarray, "b t h w 3"], mirrored: Bool[np.ndarray, " b"]
    ) -> UInt8[np.ndarray, "b t h w 3"]:
        """Flip the marked clips in place."""
        if self.flip:
            clips[mirrored] = clips[mirrored, :, :, ::-1]
        return clips
