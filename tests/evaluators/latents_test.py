"""Evaluation of latents: a codec that only resizes, which is equivariant, and one that is not."""

import numpy as np
import pytest
from block_codec import Blocks

from pipeline.core.errors import ConfigError
from pipeline.evaluators import latents
from pipeline.metrics import catalogue


def batches(count=4, rows=32):
    rng = np.random.default_rng(0)
    for _ in range(count):
        label = rng.integers(0, 2, rows)
        image = rng.integers(0, 100, (rows, 8, 8, 3)) + 150 * label[:, None, None, None]
        mask = np.ones(rows, np.float32)
        mask[-1] = 0
        yield dict(image=image.astype(np.uint8), label=label, mask=mask)


def test_an_equivariant_codec_has_no_error_and_a_linear_one_straight_paths():
    found = latents.evaluate(Blocks(), batches())
    assert found["num_examples"] == 4 * 31
    assert found["rotation_error"] == pytest.approx(0, abs=1e-9)
    assert found["scale_error"] == pytest.approx(0, abs=1e-9)
    assert found["interpolation_path"] == pytest.approx(1, abs=1e-4)
    assert found["bits_per_latent"] == pytest.approx(1)
    assert found["label_accuracy"] == 1.0 and found["teacher_cka"] is None
    assert 0 < found["low_frequency_share"] < 1 < found["effective_channels"] < 3.01


def test_latents_that_do_not_turn_with_the_image_have_an_error():
    found = latents.evaluate(Blocks(skewed=True), batches(1))
    assert found["rotation_error"] > 0.5
    assert found["scale_error"] == pytest.approx(0, abs=1e-9)


def test_features_of_a_teacher_that_are_the_latents_are_aligned():
    class Same:
        def __call__(self, weights, images):
            return type("F", (), {"patches": Blocks().encode(images)[0].z * 2})

    found = latents.evaluate(Blocks(), batches(1), teacher=(Same(), {}))
    assert found["teacher_cka"] == pytest.approx(1)


def test_every_measure_is_in_the_catalogue_and_in_its_order():
    found = latents.evaluate(Blocks(), batches(1))
    reported = catalogue.reported({"latents": found})
    assert all(metric.name.startswith("latents.") for metric in reported) and len(reported) == 6
    assert "participation ratio" in found["protocol"]


def test_vectors_are_refused():
    model = Blocks()
    model.latent_shapes = ((10,),)
    with pytest.raises(ConfigError, match=r"Blocks has latents of \(10,\)"):
        latents.check(model)
