"""scikit-learn's 1,797 handwritten digits, 8 x 8 grey."""

import numpy as np

from pipeline.data import scikit_learn
from pipeline.data.sources.arrays import Arrays

MODALITY = "image"


class Digits(Arrays):
    """The digits, their 17 levels 0..16 spread over 0..255; the label is the digit."""

    classes = tuple(str(digit) for digit in range(10))

    def __init__(self):
        rows = scikit_learn.digits()
        pixels, labels = rows[:, :-1].reshape(-1, 8, 8), rows[:, -1]
        images = np.round(pixels * (255 / 16)).astype(np.uint8)  # [1797 8 8]
        super().__init__(images, labels.astype(np.int64), where="scikit-learn's digits")


create = Digits
