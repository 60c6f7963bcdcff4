"""Ladder VAE: the product of Gaussians, vague estimates, equal sizes, both modes of batch norm."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob
from pipeline.models.ladder_vae.model import product_of_gaussians

SMALL = dict(
    image_size=4, image_channels=1, latent_dims=(4, 3, 2), widths=(8, 7, 6), likelihood="bernoulli"
)
LADDER, BOTTOM_UP = "ladder_vae.LadderVAE", "ladder_vae.HierarchicalVAE"


def create(name=LADDER, **changes):
    return models.create(SMALL | dict(name=name) | changes, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, 4, 4, 1)) * 255, jnp.uint8)


@nnx.jit
def encode(model, image, key):
    return model.encode(image, key=key)


def gaussian(mean, logvar):
    return jnp.asarray([mean], jnp.float32), jnp.asarray([logvar], jnp.float32)


def test_the_combination_is_the_product_of_two_gaussians():
    one, other = gaussian([0.5, -2.0], [0.3, -1.0]), gaussian([1.5, 1.0], [-0.7, 2.0])
    mean, logvar = product_of_gaussians(one, other)
    precision = jnp.exp(-one[1]) + jnp.exp(-other[1])
    np.testing.assert_allclose(jnp.exp(logvar), 1 / precision, rtol=1e-5)
    weighted = one[0] * jnp.exp(-one[1]) + other[0] * jnp.exp(-other[1])
    np.testing.assert_allclose(mean, weighted / precision, rtol=1e-5)
    # As densities: the log of the product differs from it by a constant.
    z = jnp.linspace(-3, 3, 14).reshape(7, 2)
    gap = (
        gaussian_log_prob(z, *one)
        + gaussian_log_prob(z, *other)
        - gaussian_log_prob(z, mean, logvar)
    )
    np.testing.assert_allclose(gap - gap[0], 0, atol=1e-4)


def test_neither_a_vague_nor_a_sharp_gaussian_overflows():
    prior = gaussian([0.5], [-0.4])
    for vague in (20.0, 200.0):
        np.testing.assert_allclose(
            product_of_gaussians(gaussian([7.0], [vague]), prior), prior, rtol=1e-5
        )
    sharp = gaussian([7.0], [-200.0])
    np.testing.assert_allclose(product_of_gaussians(sharp, prior), sharp, rtol=1e-5)
    slope = jax.grad(lambda logvar: product_of_gaussians((sharp[0], logvar), prior)[1].sum())
    assert all(np.isfinite(slope(jnp.asarray([[logvar]]))).all() for logvar in (-200.0, 200.0))


def test_where_the_image_says_nothing_the_posterior_is_the_prior(image):
    model = create()
    for stage in model.encoder[:-1]:  # the top layer has nothing else to go by
        half = stage.moments.norm.bias.shape[0] // 2
        stage.moments.norm.bias[...] = stage.moments.norm.bias[...].at[half:].set(30.0)
    latents = encode(model, image, jax.random.key(0))
    for latent in latents[1:]:
        assert float(latent.kl.max()) < 1e-6
        np.testing.assert_allclose(latent.mean, latent.prior_mean, atol=1e-5)
        np.testing.assert_allclose(latent.logvar, latent.prior_logvar, atol=1e-5)


@pytest.mark.parametrize("name", [LADDER, BOTTOM_UP])
def test_latents_of_an_image(name, image):
    model = create(name)
    latents = encode(model, image, jax.random.key(0))
    assert (
        model.latent_shapes == ((2,), (3,), (4,)) == tuple(latent.z.shape[1:] for latent in latents)
    )
    assert all(float(latent.kl.min()) > -1e-6 for latent in latents)
    assert not latents[0].prior_mean.any() and not latents[0].prior_logvar.any()
    # A posterior of the ladder is at least as sharp as the prior that it corrects; bottom-up
    # nothing makes it so.
    sharper = [bool((latent.logvar < latent.prior_logvar).all()) for latent in latents[1:]]
    assert all(sharper) == (name == LADDER)


def test_decode_draws_what_is_missing_from_the_prior(image):
    model = create()
    outputs = model(dict(image=image), key=jax.random.key(0), train=False)
    zs = [latent.z for latent in outputs.latents]
    np.testing.assert_allclose(model.decode(zs).mean(), outputs.recon.mean(), atol=1e-6)
    key = jax.random.key(1)
    for given in range(3):
        few = model.decode(zs[:given], num=6, key=key).mean()
        assert few.shape == image.shape
        # At temperature 0, every layer is its prior's mean.
        still = model.decode(zs[:given], num=6, key=key, temperature=[0.0, 0.0, 0.0]).mean()
        np.testing.assert_allclose(still, model.decode(zs[:given], num=6).mean(), atol=1e-6)
        assert not np.allclose(few, still, atol=1e-4)
    with pytest.raises(ConfigError, match="needs num"):
        model.decode([])


def test_both_have_the_same_arrays_and_as_many_as_the_paper_says():
    def normalized(inputs, units):  # no bias but batch norm's, which has a scale too
        return inputs * units + 2 * units

    def mlp(inputs, units):
        return normalized(inputs, units) + normalized(units, units)

    latents, widths = (64, 32, 16, 8, 4), (512, 256, 128, 64, 32)
    up = sum(mlp(i, w) + normalized(w, 2 * d) for i, w, d in zip((784, *latents), widths, latents))
    down = sum(
        mlp(above, w) + normalized(w, 2 * d)
        for (d, above), w in zip(itertools.pairwise(latents), widths[1:])
    )
    expected = up + down + mlp(64, 512) + 512 * 784 + 784
    shapes = []
    for name in (LADDER, BOTTOM_UP):
        recipe = dict(name=name, image_size=28)
        model = nnx.eval_shape(lambda recipe=recipe: models.create(recipe, rngs=nnx.Rngs(0)))
        shapes.append(
            jax.tree.map(lambda leaf: leaf.shape, nnx.to_pure_dict(nnx.state(model, nnx.Param)))
        )
    assert shapes[0] == shapes[1]
    assert (
        sum(
            np.prod(shape)
            for shape in jax.tree.leaves(shapes[0], is_leaf=lambda x: isinstance(x, tuple))
        )
        == expected
    )
    assert expected == 1_707_104


@pytest.mark.parametrize("name", [LADDER, BOTTOM_UP])
def test_training_moves_every_running_statistic_and_inference_none(name, image):
    model = create(name)
    before = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    model(dict(image=image), key=jax.random.key(0), train=False)
    model.encode(image, key=jax.random.key(0))
    still = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    assert all((a == b).all() for a, b in zip(before, still))
    model(dict(image=image), key=jax.random.key(0), train=True)
    after = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    assert all((a != b).any() for a, b in zip(before, after))


def test_settings_that_cannot_work():
    with pytest.raises(ConfigError, match=r"latent_dims has 2 layers and model.widths 3"):
        create(latent_dims=(4, 2))
