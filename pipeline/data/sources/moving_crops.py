"""Clips of windows that move over the two photographs that ship with scikit-learn."""

import hashlib

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import ConfigError
from pipeline.data import randomness
from pipeline.data.source import Video
from pipeline.data.sources.sklearn_images import CLASSES, photographs

MODALITY = "video"
SPEED = 3  # maximal number of pixels per frame, in each direction
FPS = 25.0
_COUNTS = {"train": 20_000, "eval": 64}
_MIRROR = 1 << 63


class MovingCrops:
    """Clips of `length` frames of image_size x image_size: a church in China (0) and a flower (1).

    A window moves on a straight line by whole pixels per frame, 0 to SPEED in each direction as far
    as there is room, so that every frame is an unscaled part of a photograph (427 x 640, CC BY).
    Training uses the left three quarters of a photograph, and evaluation the right quarter: no
    pixel is in both. Clip i is always the same.
    """

    classes = CLASSES

    def __init__(self, image_size: int, length: int, split: str):
        self.photos, held_out = photographs(split)
        if image_size > min(self.photos.shape[1:3]):
            raise ConfigError(
                f"data.image_size={image_size} is too large for source 'moving_crops', whose part "
                f"of a photograph is {self.photos.shape[2]} pixels wide for {split}: "
                f"use at most {held_out}"
            )
        self._size, self._length, self._split = image_size, length, split
        content = hashlib.sha256(self.photos.tobytes()).hexdigest()
        self.fingerprint = f"moving_crops:{split}:{image_size}:{length}:{content}"

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
        return Video(np.stack(frames), photo, fps=FPS)

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
        return f"clip {index} over scikit-learn's {self.classes[index % 2]}.jpg"


create = MovingCrops
