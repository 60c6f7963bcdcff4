"""CV-VAE: the image codec that it starts as, and which frames see which."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import cv_vae, ldm
from flax import nnx

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.importers import image_codec as image_codec_importer

SIZES = dict(channels=(4, 8, 8, 8), num_blocks=1, groups=2, image_size=16)


def clips(**changes):
    return cv_vae(**SIZES | changes)


def images(**changes):
    return ldm(**SIZES | dict(quant_convs=False) | changes)


def random_model(recipe):
    """Return a definition, and weights that all differ from the initial ones, norms included."""
    modeldef, shapes, _ = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in shapes.items():
        noise = rng.normal(size=shape.shape).astype(np.float32)
        weights[name] = (
            1 + 0.3 * noise
            if name.endswith("scale")
            else noise * math.prod(shape.shape[:-1]) ** -0.5
        )
    return modeldef, weights


def inflated(image_recipe, weights=None):
    """Return an image codec and the CV-VAE that starts from it."""
    modeldef, given = random_model(image_recipe)
    given = given if weights is None else weights(given)
    clip_def, shapes, _ = parameters.abstract(lambda: models.create(clips(), rngs=nnx.Rngs(0)))
    plain = image_codec_importer.without_quant_convs(given)
    converted = image_codec_importer.convert(plain, shapes, path="codec")
    return modeldef.merge(jax.tree.map(jnp.asarray, given)), clip_def.merge(
        jax.tree.map(jnp.asarray, converted)
    )


@nnx.jit
def moments(model, x):
    (latent,) = model.encode(x)
    return jnp.concatenate([latent.mean, latent.logvar], axis=-1)


@nnx.jit
def decode(model, z):
    return model.decode([z]).mean()


@pytest.fixture(scope="module")
def clip():
    return jax.random.uniform(jax.random.key(1), (1, 9, 16, 16, 3), minval=-1, maxval=1)


def test_inflated_it_is_the_image_codec(clip):
    of_images, of_clips = inflated(images())
    z = moments(of_clips, clip)
    assert z.shape == (1, 3, 2, 2, 8)
    # Latents agree for a single frame, and for each frame that a clip's latents keep.
    np.testing.assert_allclose(
        moments(of_clips, clip[:, :1])[:, 0], moments(of_images, clip[:, 0]), atol=1e-4
    )
    for latent in range(3):
        np.testing.assert_allclose(z[:, latent], moments(of_images, clip[:, 4 * latent]), atol=1e-4)
    mean = z[..., :4]
    frames = decode(of_clips, mean)
    assert frames.shape == clip.shape
    for frame in range(9):
        still = decode(of_images, mean[:, -(-frame // 4)])
        np.testing.assert_allclose(frames[:, frame], still, atol=1e-4)
    np.testing.assert_allclose(
        decode(of_clips, mean[:, :1])[:, 0], decode(of_images, mean[:, 0]), atol=1e-4
    )


def test_convolutions_around_the_latents_are_taken_in(clip):
    def without_border(weights):
        return weights | {"post_quant_conv.bias": np.zeros_like(weights["post_quant_conv.bias"])}

    of_images, of_clips = inflated(images(quant_convs=True), without_border)
    np.testing.assert_allclose(
        moments(of_clips, clip[:, :1])[:, 0], moments(of_images, clip[:, 0]), atol=1e-4
    )
    z = jax.random.normal(jax.random.key(0), (1, 1, 2, 2, 4))
    np.testing.assert_allclose(decode(of_clips, z)[:, 0], decode(of_images, z[:, 0]), atol=1e-4)


@pytest.mark.parametrize("per_frame", [True, False])
def test_the_encoder_is_causal_with_norms_of_single_frames(per_frame, clip):
    modeldef, weights = random_model(clips(norm_per_frame=per_frame))
    model = modeldef.merge(weights)
    changed = clip.at[:, 5:].set(-clip[:, 5:])
    same = np.abs(moments(model, clip) - moments(model, changed)).max((0, 2, 3, 4)) < 1e-6
    assert same.tolist() == ([True, True, False] if per_frame else [False, False, False])
    # A clip's first latent frame equals the latent of its first frame as an image.
    alone = np.allclose(moments(model, clip[:, :1]), moments(model, clip)[:, :1], atol=1e-5)
    assert alone == per_frame


def test_the_decoder_looks_ahead(clip):
    modeldef, weights = random_model(clips())
    model = modeldef.merge(weights)
    z = jax.random.normal(jax.random.key(0), (1, 3, 2, 2, 4))
    moved = decode(model, z.at[:, 2].add(1.0)) - decode(model, z)
    assert (jnp.abs(moved).max((0, 2, 3, 4)) > 1e-4).all() and not model.decoder_causal


def test_a_codec_of_another_size_is_told():
    with pytest.raises(CheckpointError, match=r"of another shape: .* and the recipe has"):
        inflated(images(channels=(4, 8, 8, 16)))
    with pytest.raises(CheckpointError, match=r"unknown to the recipe: .*blocks\.2"):
        inflated(images(num_blocks=2))


def test_settings_that_cannot_be():
    for changes, said in (
        (dict(channels=(8, 8)), "must have 4 widths, not 2"),
        (dict(num_frames=8), "be 1 \\+ 4k"),
    ):
        with pytest.raises(ConfigError, match=said):
            models.create(clips(**changes), rngs=nnx.Rngs(0))
