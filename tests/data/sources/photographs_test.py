"""One photograph is for training, and the other is held out whole."""

import numpy as np
from PIL import Image

from pipeline.data.images.image_data import ImageData
from pipeline.data.loading.example_files import write_examples


def test_training_crops_the_church_and_the_flower_is_written_whole(tmp_path):
    data = ImageData("photographs", image_size=32, crop="random", resize="none")
    assert data.num_eval_examples == 1 and data.num_examples > 1000
    with data.train(4, seed=0) as batches:
        batch = next(batches)
    assert (batch["label"] == 0).all() and len(np.unique(batch["image"], axis=0)) == 4
    (path,) = write_examples(data, str(tmp_path), split="eval", num=3, original=True)
    with Image.open(path) as picture:
        assert picture.size == (640, 427)
        whole = np.asarray(picture)
    with data.evaluate(1) as batches:
        centre = next(batches)["image"][0]
    np.testing.assert_array_equal(centre, whole[197:229, 304:336])
