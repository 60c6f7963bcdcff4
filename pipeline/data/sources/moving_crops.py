"""Clips of windows that move over the two photographs that ship with scikit-learn."""

import hashlib
from typing import ClassVar

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.core.errors import ConfigError
from pipeline.data import randomness
from pipeline.data.source import Video
from pipeline.data.sources.sklearn_images import CLASSES, photographs

MODALITY = "video"
SPEED = 3  # maximal number of pixels per frame, in each direction
FPS = 25.0
_COUNTS = {"train": 20_000, "eval": 64}
_MIRROR = 1 << 63


class Windows:
    """Clips of `length` frames of image_size x image_size, each cut from one of `photos`.

    A window moves on a straight line by whole pixels per frame, 0 to SPEED in each direction as far
    as there is room, so that every frame is an unscaled part of a photograph. Clip i is always the
    same; its label is labels[photo].
    """

    classes = CLASSES
    source: ClassVar[str]

    def __init__(
        self,
        photos: UInt8[np.ndarray, "n h w c"],
        labels: tuple[int, ...],
        image_size: int,
        length: int,
        split: str,
        *,
        largest: int,
    ):
        if image_size > largest:
            raise ConfigError(
                f"data.image_size={image_size} is too large for source {self.source!r}: a "
                f"window has at most {largest} pixels a side"
            )
        self.photos, self.labels = photos, labels
        self._size, self._length, self._split = image_size, length, split
        content = hashlib.sha256(photos.tobytes()).hexdigest()
        self.fingerprint = f"{self.source}:{split}:{image_size}:{length}:{content}"

    def __len__(self) -> int:
        return _COUNTS[self._split]

    def __getitem__(self, index: int) -> Video:
        photo = index % len(self.photos)
        rows = self._places(index, 0, self.photos.shape[1])
        columns = self._places(index, 1, self.photos.shape[2])
        size = self._size
        frames = [
            self.photos[photo, top : top + size, left : left + size]
            for top, left in zip(rows, columns)
        ]
        return Video(np.stack(frames), self.labels[photo], fps=FPS)

    def _places(self, index: int, axis: int, extent: int) -> Int[np.ndarray, " t"]:
        """Return the position of the window in each frame, along one axis of `extent` pixels."""
        room = extent - self._size
        moves = max(1, self._length - 1)
        words = [
            int(randomness.draw(axis, randomness.MOTION, np.array([3 * index + i]))[0])
            for i in range(3)
        ]
        speed = randomness.below(words[0], min(SPEED, room // moves) + 1)
        start = randomness.below(words[1], room - speed * moves + 1)
        places = start + speed * np.arange(self._length)
        return places[::-1] if words[2] & _MIRROR else places

    def size(self, index: int) -> tuple[int, int]:
        return (self._size, self._size)

    def name(self, index: int) -> str:
        photo = self.classes[self.labels[index % len(self.photos)]]
        return f"clip {index} over scikit-learn's {photo}.jpg"


class MovingCrops(Windows):
    """Clips over a church in China (0) and a flower (1) (427 x 640, CC BY).

    Training uses the left three quarters of a photograph, and evaluation the right quarter: no
    pixel is in both.
    """

    source = "moving_crops"

    def __init__(self, image_size: int, length: int, split: str):
        photos, held_out = photographs(split)
        super().__init__(photos, (0, 1), image_size, length, split, largest=held_out)


create = MovingCrops
