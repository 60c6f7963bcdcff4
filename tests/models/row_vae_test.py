"""The order of rows in encoder and decoder, the likelihood of images, and the bound on the KL."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import tiny_step
from flax import nnx

from pipeline import models
from pipeline.core import pixels
from pipeline.priors.ar1 import AR1

BERNOULLI = dict(name="bernoulli", binarize=True)


def create(size: int):
    """Return a small model whose likelihood depends on its latents and rows."""
    recipe = dict(name="row_vae.RowVAE", image_size=size, latent_channels=1, hidden=8, depth=2)
    model = models.create(recipe | dict(likelihood=BERNOULLI), rngs=nnx.Rngs(0))
    for body in (model.encoder.body, model.decoder.body):
        body.last.kernel[...] = 10 * body.last.kernel[...]
    return model


def test_latents_see_the_rows_from_theirs_on_and_rows_those_before():
    model = create(4)
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 1))
    z = jax.random.normal(jax.random.key(1), (1, 4, 1))

    @nnx.jit
    def seen(model):
        of_mean = jax.jacobian(lambda x: model.encoder(x)[0][0, :, 0])(x)
        logits = jax.jacobian(lambda x, z: model.decoder(x, z).logits[0, :, 0, 0], (0, 1))(x, z)
        return [
            jnp.abs(each).sum(axis=(1, *range(3, each.ndim))) > 0 for each in (of_mean, *logits)
        ]

    from_own_on, before, up_to_own = seen(model)
    ones = np.ones((4, 4), bool)
    np.testing.assert_array_equal(from_own_on, np.triu(ones))
    np.testing.assert_array_equal(before, np.tril(ones, -1))
    np.testing.assert_array_equal(up_to_own, np.tril(ones))


def test_probabilities_of_all_images_sum_to_one_and_draws_follow_them():
    model, draws = create(2), 4_000
    every = np.asarray(list(itertools.product((0, 255), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)
    z = jnp.asarray([[[1.5], [-0.7]]])

    @nnx.jit
    def values(model):
        log_p = model.decode([jnp.tile(z, (16, 1, 1))]).log_prob(jnp.asarray(every))
        drawn = model.decode([jnp.tile(z, (draws, 1, 1))]).sample(jax.random.key(0))
        recon = model.decode([z])
        greedy = jnp.stack([recon.mean(), recon.target(pixels.to_uint8(recon.mean()))])
        return log_p, pixels.to_uint8(drawn), greedy

    log_p, drawn, (mean, rounded) = values(model)
    p = np.exp(log_p)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    bits = (np.asarray(drawn).reshape(draws, 4) > 0) @ np.asarray([8, 4, 2, 1])
    shares = np.bincount(bits, minlength=16) / draws
    np.testing.assert_allclose(shares, p, atol=5 * (p.max() / draws) ** 0.5)
    assert np.ptp(p) > 0.02 and np.abs(mean).max() < 1
    given = nnx.jit(lambda model: model.decoder(rounded, z).mean())(model)
    np.testing.assert_allclose(mean, given, atol=1e-5)


def test_the_kl_of_delta_vae_is_never_below_its_bound():
    recipe = "delta_vae/mnist.py"
    model = tiny_step.settings(recipe)["model"]
    rows, alpha = model["image_size"], model["prior"]["alpha"]
    bound = AR1(shape=(rows, model["latent_channels"]), alpha=alpha).committed_rate
    state, _, step = tiny_step.compiled(recipe, 1)
    state = jax.tree.map(jnp.copy, state)
    for number in range(4):
        state, metrics = step(state, number)
        assert metrics["rate"] * rows**2 * np.log(2) >= bound > 3
