"""Clips of windows that move over one of scikit-learn's two photographs; the other is held out."""

import numpy as np

from pipeline.data import scikit_learn
from pipeline.data.sources.moving_crops import Windows
from pipeline.data.sources.photographs import ORDERS

MODALITY = "video"


class MovingPhotographs(Windows):
    """Clips over a church in China for training, and over a flower for evaluation.

    As in the source `photographs`, training shows the church with red, green and blue in all six
    orders, and the flower is never trained on.
    """

    source = "moving_photographs"

    def __init__(self, image_size: int, length: int, split: str):
        china, flower = scikit_learn.photographs()
        photos = np.stack([china[..., order] for order in ORDERS] if split == "train" else [flower])
        labels = (0,) * len(ORDERS) if split == "train" else (1,)
        largest = min(photos.shape[1:3])
        super().__init__(photos, labels, image_size, length, split, largest=largest)


create = MovingPhotographs
