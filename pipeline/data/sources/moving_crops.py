"""Clips without a video: windows that move over the two photographs that ship with scikit-learn (427 x 640, CC BY)."""

import hashlib

import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.data import randomness
from pipeline.data.video_source import Video

SPEED = 3  # pixels a frame, at most, in each direction
FPS = 25.0
_COUNTS = {"train": 20_000, "eval": 64}
_MIRROR = 1 << 63


class MovingCrops:
    """Clips of `length` frames of image_size x image_size: a church in China (label 0) and a flower (label 1).

    A window moves on a straight line by whole pixels a frame, 0 to SPEED in each direction and as far as there is room,
    so that every frame is a part of a photograph as it is. Training takes the left three quarters of them, evaluation
    the right one: no pixel is in both. Clip i is always the same.
    """

    classes = ("china", "flower")

    def __init__(self, image_size: int, length: int, split: str):
        from sklearn.datasets import load_sample_images  # takes a second to import

        photos = np.stack(load_sample_images()["images"])  # [2 427 640 3]
        border = photos.shape[2] * 3 // 4
        self.photos = np.ascontiguousarray(
            photos[:, :, :border] if split == "train" else photos[:, :, border:]
        )
        if image_size > min(self.photos.shape[1:3]):
            raise ConfigError(
                f"data.image_size={image_size} is too large for source 'moving_crops', whose part of a photograph is "
                f"{self.photos.shape[2]} pixels wide for {split}: use at most {photos.shape[2] - border}"
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

    def _places(self, index: int, axis: int, extent: int) -> np.ndarray:
        """Where the window lies in each frame, along one axis."""
        room = extent - self._size
        moves = max(1, self._length - 1)
        words = [
            int(randomness.draw(axis, randomness.MOTION, np.array([3 * index + i]))[0])
            for i in range(3)
        ]
        speed = randomness.below(words[0], min(SPEED, room // moves) + 1)
        places = randomness.below(words[1], room - speed * moves + 1) + speed * np.arange(
            self._length
        )
        return places[::-1] if words[2] & _MIRROR else places

    def size(self, index: int) -> tuple[int, int]:
        return (self._size, self._size)

    def name(self, index: int) -> str:
        return f"clip {index} over scikit-learn's {self.classes[index % 2]}.jpg"
