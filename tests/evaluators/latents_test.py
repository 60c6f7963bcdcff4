"""Evaluation of latents: a codec that only resizes, which is equivariant, and one that is not."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import pixels
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent
from pipeline.distributions.continuous import Reconstruction
from pipeline.evaluators import latents
from pipeline.metrics import catalogue


class Blocks(nnx.Module):
    """Latents are means of 2x2 blocks, and with `skewed` the left half is negated."""

    codec_kind, is_video, num_layers, spatial_factor = "any_size", False, 1, 2
    latent_shapes = ((4, 4, 3),)

    def __init__(self, skewed: bool = False):
        self.scale = nnx.Param(jnp.ones(()))
        self.skewed = skewed

    def encode(self, image, *, key=None):
        x = pixels.to_float(image) * self.scale[...]
        b, h, w, c = x.shape
        z = x.reshape(b, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
        if self.skewed:
            z = z * jnp.where(jnp.arange(w // 2) < w // 4, -1, 1)[:, None]
        return (Latent(z, jnp.full(z.shape, np.log(2)), mean=z),)

    def decode(self, z):
        return Reconstruction(jnp.repeat(jnp.repeat(z[0], 2, axis=1), 2, axis=2))


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
