"""TAESD: published sizes and special features; tests/parity compares with torch on real weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from autoencoders import taesd
from flax import nnx

from pipeline import models
from pipeline.core import parameters


def test_published_parameter_counts_of_the_form_without_a_recipe():
    recipe = taesd(latent_channels=16)
    _, params, model_state = parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))
    found = [
        sum(math.prod(a.shape) for n, a in params.items() if n.startswith(s))
        for s in ("encoder", "decoder")
    ]
    assert found == [1_229_456, 1_229_443] and not model_state


def test_a_deterministic_codec_of_any_multiple_of_eight():
    recipe = taesd(image_size=16, width=8, num_blocks=1, pool=True)
    model = models.create(recipe, rngs=nnx.Rngs(0))
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3), dtype=np.uint8))

    @nnx.jit
    def code(model, image, key):
        (latent,) = model.encode(image, key=key)
        # Latents are limited to -3..3, so that distant ones decode alike.
        far = [model.decode([latent.z * 0 + size]).mean() for size in (50.0, 500.0)]
        return latent, model.decode([latent.z]).mean(), far

    latent, recon, far = code(model, image, jax.random.key(0))
    assert latent.z.shape == (1, 2, 3, 4) and recon.shape == image.shape
    np.testing.assert_array_equal(latent.z, latent.mean)
    assert not latent.kl.any()
    np.testing.assert_allclose(far[0], far[1], atol=1e-5)
