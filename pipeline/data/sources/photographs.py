"""The two photographs that ship with scikit-learn (427 x 640, CC BY), whole: one held out."""

import hashlib
import itertools

import numpy as np
from jaxtyping import Int

from pipeline.data import scikit_learn
from pipeline.data.source import Record
from pipeline.data.sources.sklearn_images import CLASSES

MODALITY = "image"
_PHOTO = {"train": 0, "eval": 1}
_VIEWS = {"train": 10_000, "eval": 1}
ORDERS = [list(order) for order in itertools.permutations(range(3))]  # of colours; the first is RGB


class Photographs:
    """A church in China for training and a flower for evaluation, both whole.

    Training shows the church 10,000 times, for the dataset's random crops (data.crop="random" with
    data.resize="none"). Its colours are nearly grey; it is shown with red, green and blue in all
    six orders, so that a codec learns other colours too. The flower is never trained on.
    """

    classes = CLASSES
    shape = None

    def __init__(self, split: str):
        self.label = _PHOTO[split]
        self.photo = scikit_learn.photographs()[self.label]
        self._length = _VIEWS[split]
        content = hashlib.sha256(self.photo.tobytes()).hexdigest()
        self.fingerprint = f"photographs:{split}:{content}"

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Record:
        orders = ORDERS if self.label == _PHOTO["train"] else ORDERS[:1]
        return Record(self.photo[:, :, orders[index % len(orders)]], self.label)

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """Return nothing, because the photographs are larger than the examples."""

    def name(self, index: int) -> str:
        return f"scikit-learn's {self.classes[self.label]}.jpg"


create = Photographs
