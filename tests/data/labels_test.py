"""Labels that are hidden from training."""

import numpy as np
import pytest

from pipeline.build.data import check_dataset
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.image_data import ImageData
from pipeline.data.labels import FewLabels, labels_of
from pipeline.data.sources.arrays import Arrays


def source(labels):
    return Arrays(np.zeros((len(labels), 4, 4), np.uint8), np.asarray(labels))


def test_few_labels_are_balanced_and_a_function_of_the_seed():
    full = source(np.arange(300) % 3)
    few = FewLabels(full, 10, seed=0)
    shown = labels_of(few)
    np.testing.assert_array_equal(shown, few.labels)
    assert np.bincount(shown[shown >= 0]).tolist() == [4, 3, 3]
    np.testing.assert_array_equal(shown[few.known], labels_of(full)[few.known])
    assert few[int(np.flatnonzero(~few.known)[0])].label == -1
    np.testing.assert_array_equal(FewLabels(full, 10, seed=0).known, few.known)
    assert (FewLabels(full, 10, seed=1).known != few.known).any()
    assert few.fingerprint != FewLabels(full, 10, seed=1).fingerprint != full.fingerprint


@pytest.mark.parametrize(
    "labels, message", [([-1, -1], "has no labels"), ([0, 0, 0, 1], "takes 2 examples of class 1")]
)
def test_too_few_labels_are_one_line(labels, message):
    with pytest.raises(ConfigError, match=message):
        FewLabels(source(labels), 4, seed=0)


def test_a_run_hides_labels_in_training_alone():
    data = ImageData("digits", image_size=8, channels=1, eval_fraction=0.1, num_labelled=100)
    plain = ImageData("digits", image_size=8, channels=1, eval_fraction=0.1)
    assert data.fingerprint != plain.fingerprint
    with data.train(1600, seed=0) as batches:
        label = next(batches)["label"]
    assert 95 < (label >= 0).sum() <= 100
    with data.evaluate(100) as batches:
        assert (next(batches)["label"] >= 0).all()


def test_a_model_with_labels_needs_a_class_for_each():
    data = ImageData("digits", image_size=8, channels=1, eval_fraction=0.1)
    config = dict(batch_size=8, data={}, eval=dict(every=0))
    model = dict(name="m2.M2", image_size=8, image_channels=1, num_classes=9)
    with pytest.raises(ConfigError, match="num_classes=9, but the data has labels up to 9"):
        check_dataset(config | dict(model=model), data)
    data.classes, data._training.kinds[0].source = (), source([-1] * 20)
    with pytest.raises(DataError, match="have no labels"):
        check_dataset(config | dict(model=model), data)
