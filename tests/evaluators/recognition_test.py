"""Recognition by nearest neighbors: real digits are recognized, and noise is not."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.data.images.image_data import ImageData
from pipeline.evaluators import recognition


def test_real_digits_are_recognized_and_noise_of_the_same_values_is_not():
    data = ImageData("digits", image_size=8, channels=1, eval_fraction=0.1)
    recognizer, held_out = recognition.of_dataset(data)
    assert len(recognizer.labels) == data.num_examples and len(held_out) == data.num_eval_examples
    known, classes = recognizer(held_out)
    assert known.mean() > 0.95
    with data.evaluate(len(held_out)) as batches:
        labels = next(batches)["label"]
    assert (classes == labels)[known].mean() > 0.97
    rng = np.random.default_rng(0)
    shuffled = rng.permuted(held_out.reshape(len(held_out), -1), axis=1).reshape(held_out.shape)
    # Each pixel has its own distribution: a model that knows no more than that must fail.
    independent = rng.permuted(held_out, axis=0)
    assert recognizer(shuffled)[0].mean() == 0
    assert recognizer(independent)[0].mean() < 0.05


def test_four_of_five_neighbors_must_agree_within_the_limit():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    recognizer = recognition.fit(images, labels, held_out=images + np.uint8(1))
    assert recognizer.limit == pytest.approx(0.91)  # one of ten is 1 away from its neighbor
    queries = np.array([1, 4, 9, 60], np.uint8).reshape(4, 1, 1, 1)
    known, classes = recognizer(queries)
    assert known.tolist() == [True, False, True, False] and classes.tolist() == [0, 1, 1, 1]


def test_images_without_classes_are_an_error_in_one_line():
    images = np.zeros((8, 1, 1, 1), np.uint8)
    with pytest.raises(DataError, match="8 images without classes"):
        recognition.fit(images, np.full(8, -1), images)
