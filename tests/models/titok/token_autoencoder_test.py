"""MAETok hides patches in training alone, and the latents do not depend on hidden ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError

SIZES = dict(width=8, depth=1, heads=2)
RECIPE = dict(
    name="titok.MAETok",
    image_size=32,
    patch=4,
    num_tokens=3,
    encoder_size=SIZES,
    decoder_size=SIZES,
)


@pytest.fixture(scope="module")
def model():
    heads = dict(hog=SIZES | dict(channels=5))
    made = models.create(RECIPE | dict(auxiliary=heads), rngs=nnx.Rngs(0))
    for block in made.encoder.sequence.blocks:  # the branches start with a scale of nearly 0
        block.scale1.scale[...] += 1.0
        block.scale2.scale[...] += 1.0
    return made


def test_the_share_of_hidden_patches_is_in_its_range_and_differs_between_examples(model):
    mask = jax.jit(lambda key: model.draw_mask(key, 200))(jax.random.key(0))
    shares = np.asarray(mask.mean(axis=-1))
    assert mask.shape == (200, 64) and set(np.unique(mask)) == {0.0, 1.0}
    assert 0.4 <= shares.min() < 0.45 < 0.55 < shares.max() <= 0.61
    assert (shares > 0.5).mean() > 0.5, "the highest share is the most likely one"


def test_latents_do_not_depend_on_hidden_patches(model):
    image = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    mask = model.draw_mask(jax.random.key(2), 1)

    def loss(image):
        return jnp.square(model.encoder.read_masked(image, model.tokens[...], mask)).sum()

    gradient = jax.jit(jax.grad(loss))(image)
    seen = jnp.abs(gradient).reshape(8, 4, 8, 4, 3).sum(axis=(1, 3, 4)).reshape(-1) > 0
    np.testing.assert_array_equal(seen, mask[0] == 0)


def test_training_gives_the_mask_and_predictions_and_evaluation_sees_the_whole_image(model):
    batch = {"image": jax.random.normal(jax.random.key(1), (2, 32, 32, 3))}
    run = jax.jit(lambda key, train: model(batch, key=key, train=train), static_argnums=1)
    trained, evaluated = run(jax.random.key(3), True), run(jax.random.key(3), False)
    assert trained.aux["patch_mask"].shape == (2, 64)
    assert trained.aux["predictions"]["hog"].shape == (2, 64, 5)
    assert not evaluated.aux
    np.testing.assert_allclose(evaluated.latents[0].z, model.encode(batch["image"])[0].z, atol=1e-5)
    assert float(jnp.abs(trained.latents[0].z - evaluated.latents[0].z).max()) > 1e-3


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(mask_lowest=0.7), "mask_lowest=0.7 and model.mask_highest=0.6"),
        (dict(encoder_size=dict(layers=3)), "model.encoder_size.layers is unknown"),
        (dict(auxiliary=dict(hog=SIZES)), "model.auxiliary.hog.channels is missing"),
        (dict(patch=5), "must be a multiple of 5"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        models.create(RECIPE | settings, rngs=nnx.Rngs(0))
