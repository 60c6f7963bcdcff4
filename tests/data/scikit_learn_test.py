"""The files are read as scikit-learn's own loaders read them."""

import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from pipeline.data import scikit_learn


def test_digits_are_those_of_the_loader():
    rows = scikit_learn.digits()
    pixels, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(rows, np.column_stack([pixels, labels]))


def test_photographs_are_those_of_the_loader():
    np.testing.assert_array_equal(scikit_learn.photographs(), load_sample_images()["images"])
