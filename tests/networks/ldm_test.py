"""A codec with the networks of latent diffusion; tests/parity compares it with diffusers'
AutoencoderKL.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import ldm
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError


def create(**changes):
    return models.create(ldm(**changes), rngs=nnx.Rngs(0))


def test_any_multiple_of_the_factor():
    model = create()
    assert model.spatial_factor == 2 and model.latent_shapes == ((4, 4, 4),)
    image = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 6, 10, 3), dtype=np.uint8))

    @nnx.jit
    def both(model, image):
        outputs = model({"image": image}, key=jax.random.key(0), train=True)
        return outputs.latents[0], outputs.recon.mean()

    latent, recon = both(model, image)
    assert latent.z.shape == latent.kl.shape == (2, 3, 5, 4) and recon.shape == image.shape
    assert float(latent.kl.min()) >= 0
    assert model.decode((), num=2).mean().shape == (2, 8, 8, 3)


def test_rematerialisation_changes_nothing():
    image = jax.random.uniform(jax.random.key(1), (1, 8, 8, 3), minval=-1, maxval=1)

    def loss(model):
        outputs = model({"image": image}, key=jax.random.key(0), train=True)
        return jnp.square(outputs.recon.mean() - image).sum() + outputs.latents[0].kl.sum()

    step = nnx.jit(nnx.value_and_grad(loss))
    one_level = dict(channels=(8,))  # has every kind of block that is rematerialised
    plain, plain_grads = step(create(**one_level))
    remat, remat_grads = step(create(**one_level, remat=True))
    np.testing.assert_allclose(plain, remat, rtol=1e-5)
    # The bias of the attention's keys does not change the softmax: its gradient is only rounding.
    largest = max(float(jnp.abs(a).max()) for a in jax.tree.leaves(plain_grads))
    for a, b in zip(jax.tree.leaves(plain_grads), jax.tree.leaves(remat_grads)):
        np.testing.assert_allclose(
            a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(a).max()) + 1e-6 * largest
        )


def test_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="must be a multiple of 2"):
        create(image_size=9)
