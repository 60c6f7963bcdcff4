"""The two photographs that ship with scikit-learn (427 x 640, CC BY), as many small crops."""

import hashlib

import numpy as np
from jaxtyping import Int, UInt8

from pipeline.core.errors import ConfigError
from pipeline.data import scikit_learn
from pipeline.data.source import Pixels, Record

MODALITY = "image"
CLASSES = ("china", "flower")


def photographs(split: str) -> tuple[UInt8[np.ndarray, "2 427 w 3"], int]:
    """Return both photographs' columns of a split, and how many columns are held out.

    The split "train" is the left three quarters, and "eval" is the right quarter.
    """
    photos = scikit_learn.photographs()  # [2 427 640 3]
    border = photos.shape[2] * 3 // 4
    region = photos[:, :, :border] if split == "train" else photos[:, :, border:]
    return np.ascontiguousarray(region), photos.shape[2] - border


class SklearnImages:
    """Crops of image_size from a church in China (label 0) and a flower (label 1).

    Training uses every crop that fits into the left three quarters of a photograph, one for each
    pixel position. Evaluation uses the right quarter, cut into disjoint tiles, so that no pixel of
    it is in two tiles or in a training crop.
    """

    classes = CLASSES

    def __init__(self, image_size: int, split: str):
        self.photos, held_out = photographs(split)
        self.size, self.stride = image_size, 1 if split == "train" else image_size
        _, height, width, _ = self.photos.shape
        if image_size > min(height, width):
            raise ConfigError(
                f"data.image_size={image_size} is too large for source 'sklearn_images', "
                f"whose held-out quarter is {held_out} pixels wide: use at most that"
            )
        self.rows = (height - image_size) // self.stride + 1
        self.columns = (width - image_size) // self.stride + 1
        self.shape = (image_size, image_size, 3)
        content = hashlib.sha256(self.photos.tobytes()).hexdigest()
        self.fingerprint = f"sklearn_images:{split}:{image_size}:{content}"

    def __len__(self) -> int:
        return len(self.photos) * self.rows * self.columns

    def _place(self, index: int) -> tuple[int, int, int]:
        """Return the photograph, row and column of a crop."""
        photo, place = divmod(index, self.rows * self.columns)
        row, column = divmod(place, self.columns)
        return photo, row * self.stride, column * self.stride

    def __getitem__(self, index: int) -> Record:
        photo, top, left = self._place(index)
        return Record(self.photos[photo, top : top + self.size, left : left + self.size], photo)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels:
        records = [self[int(index)] for index in indices]
        labels = np.array([record.label for record in records], np.int32)
        return np.stack([np.asarray(record.data) for record in records]), labels

    def name(self, index: int) -> str:
        photo, top, left = self._place(index)
        return f"scikit-learn's {self.classes[photo]}.jpg at row {top}, column {left}"


create = SklearnImages
