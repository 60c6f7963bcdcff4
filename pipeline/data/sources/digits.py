"""scikit-learn's 1,797 handwritten digits, 8 x 8 grey."""

import numpy as np

from pipeline.data.sources.arrays import Arrays

MODALITY = "image"


class Digits(Arrays):
    """The digits, their 17 levels 0..16 spread over 0..255; the label is the digit."""

    classes = tuple(str(digit) for digit in range(10))

    def __init__(self):
        from sklearn.datasets import load_digits  # takes a second to import

        pixels, target = load_digits(return_X_y=True)
        images = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # [1797 8 8]
        super().__init__(images, target, where="scikit-learn's digits")


create = Digits
