import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.core.pixels import to_float

SMALL = dict(
    name="vae.VAE", image_size=8, image_channels=1, latent_dim=3, channels=(4, 6), hidden=(16,)
)
BURGESS = dict(
    image_channels=1,
    latent_dim=10,
    hidden=(256, 256),
    likelihood="bernoulli",
    input_range=(0.0, 1.0),
)


def create(**changes):
    return models.create(SMALL | changes, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def model():
    return create()


@pytest.fixture(scope="module")
def image():
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1)), jnp.uint8)


@nnx.jit
def apply(model, image, key):
    return model(dict(image=image), key=key, train=True)


@nnx.jit
def encode(model, image, key=None):
    return model.encode(image, key=key)[0]


def count(model) -> int:
    return sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_burgess_parameter_counts():
    # Layer by layer from arXiv 1804.03599, appendix A.
    def expected(convs, channels=1, latent=10):
        encoder = 16 * channels * 32 + 32 + (convs - 1) * (16 * 32 * 32 + 32)
        encoder += 512 * 256 + 256 + 256 * 256 + 256 + 256 * 2 * latent + 2 * latent
        decoder = latent * 256 + 256 + 256 * 256 + 256 + 256 * 512 + 512
        decoder += (convs - 1) * (16 * 32 * 32 + 32) + 16 * 32 * channels + channels
        return encoder + decoder

    for size, convs in ((32, 3), (64, 4)):
        recipe = dict(name="vae.VAE", image_size=size, channels=(32,) * convs) | BURGESS
        shapes = nnx.eval_shape(lambda recipe=recipe: models.create(recipe, rngs=nnx.Rngs(0)))
        assert count(shapes) == expected(convs)


def test_the_contract_of_a_flat_model(model, image):
    assert model.num_layers == 1 and model.latent_shapes == ((3,),)
    key = jax.random.key(0)
    outputs = apply(model, image, key)
    (latent,) = outputs.latents
    assert latent.z.shape == latent.kl.shape == (2, 3) and (latent.kl >= 0).all()
    np.testing.assert_allclose(encode(model, image, key).z, latent.z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encode(model, image).z, latent.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        encode(model, to_float(image)).mean, latent.mean, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        model.decode([latent.z]).mean(), outputs.recon.mean(), rtol=1e-5, atol=1e-6
    )
    assert outputs.recon.log_prob(image).shape == (2,)


def test_samples_from_the_prior_and_their_temperature(model):
    key = jax.random.key(1)
    at_mean = model.decode((), num=3).mean()
    assert at_mean.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(at_mean[0], at_mean[1])
    np.testing.assert_array_equal(model.decode((), num=3, key=key, temperature=0.0).mean(), at_mean)
    one = model.decode((), num=3, key=key, temperature=[0.7]).mean()
    np.testing.assert_array_equal(one, model.decode((), num=3, key=key, temperature=0.7).mean())
    assert not np.allclose(one, model.decode((), num=3, key=key).mean())
    with pytest.raises(ConfigError, match="num"):
        model.decode(())


def test_a_transposed_convolution_is_the_transpose_of_the_encoders():
    """<conv(x), y> = <x, conv_t(y)> if the kernel is flipped in both directions."""
    model = create(channels=(4,), hidden=())
    conv, transposed = model.encoder.convs[0], model.decoder.convs[0]
    transposed.kernel[...] = jnp.flip(conv.kernel[...], (0, 1)).swapaxes(2, 3)
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 1))
    y = jax.random.normal(jax.random.key(1), (1, 4, 4, 4))
    np.testing.assert_allclose((conv(x) * y).sum(), (x * transposed(y)).sum(), rtol=1e-4)


def test_a_few_steps_learn_one_batch(image):
    model = create(depth=1)

    def loss(model, key):
        outputs = model(dict(image=image), key=key, train=True)
        return (outputs.latents[0].kl.sum(axis=1) - outputs.recon.log_prob(image)).mean()

    @nnx.jit
    def step(model, key):
        value, gradients = nnx.value_and_grad(loss)(model, key)
        parameters = nnx.state(model, nnx.Param)
        nnx.update(
            model, jax.tree.map(lambda p, g: p - 1e-3 * jnp.clip(g, -10, 10), parameters, gradients)
        )
        return value

    losses = [step(model, jax.random.key(i)) for i in range(200)]
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 10


def test_bfloat16_compute_keeps_float32_parameters_and_latents(model, image):
    half = models.create(SMALL, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    outputs = apply(half, image, jax.random.key(0))
    assert {x.dtype for x in jax.tree.leaves(nnx.state(half, nnx.Param))} == {jnp.dtype("float32")}
    assert outputs.latents[0].kl.dtype == outputs.recon.mean().dtype == jnp.float32
    np.testing.assert_allclose(outputs.latents[0].mean, encode(model, image).mean, atol=0.1)


def test_settings_that_cannot_work():
    with pytest.raises(ConfigError, match="multiple of 16"):
        create(channels=(4, 4, 4, 4))
    with pytest.raises(ConfigError, match="did you mean 'latent_dim'"):
        create(latent_dims=3)
