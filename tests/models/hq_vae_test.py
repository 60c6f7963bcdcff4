"""HQ-VAE in both forms: latents are codes, residual identity, decode after encode, evaluation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.core.errors import ConfigError
from pipeline.evaluators import likelihood, reconstruction
from pipeline.losses import objective

SMALL = dict(image_size=8, image_channels=1, width=4, depth=0, num_codes=8, dim=2, variance=0.5)
RECIPES = {
    "injected": SMALL | dict(name="hq_vae.SQVAE2", halvings=1, layers=(1, 1)),
    "residual": SMALL | dict(name="hq_vae.RSQVAE", halvings=1, levels=2),
}


@functools.cache
def create(form):
    return models.create(RECIPES[form], rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def batch():
    image = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1)).astype(np.uint8)
    return dict(image=jnp.asarray(image), mask=jnp.ones(3, jnp.float32))


@functools.partial(nnx.jit, static_argnames="train")
def apply(model, batch, key, train):
    return model(batch, key=key, train=train)


@nnx.jit
def decode(model, latents, key):
    return model.decode(latents, num=3, key=key).mean()


def quantizers(model):
    return (
        model.quantizers
        if hasattr(model, "quantizers")
        else [layer.quantizer for layer in model.down]
    )


@pytest.mark.parametrize("form", RECIPES)
def test_latents_are_codes_and_decode_gives_the_likelihood_of_them(form, batch):
    model = create(form)
    outputs = apply(model, batch, jax.random.key(0), train=False)
    assert len(outputs.latents) == model.num_layers == 2
    for latent, quantizer in zip(outputs.latents, quantizers(model)):
        np.testing.assert_array_equal(latent.z, quantizer.codebook[...][latent.indices])
    again = decode(model, [latent.z for latent in outputs.latents], None)
    np.testing.assert_allclose(again, outputs.recon.mean(), atol=1e-6)


@pytest.mark.parametrize("form", RECIPES)
def test_fewer_latents_leave_the_rest_to_the_prior(form, batch):
    model = create(form)
    top = [latent.z for latent in apply(model, batch, None, train=False).latents[:1]]
    fixed, drawn = (decode(model, top, key) for key in (None, jax.random.key(1)))
    mean = [quantizer.codebook[...].mean(axis=0) for quantizer in quantizers(model)]
    rest = [jnp.broadcast_to(m, (3, *shape)) for m, shape in zip(mean[1:], model.latent_shapes[1:])]
    np.testing.assert_allclose(fixed, decode(model, [*top, *rest], None), atol=1e-6)
    assert drawn.shape == fixed.shape and not np.allclose(drawn, fixed)


def test_what_the_levels_leave_and_their_sum_are_the_vectors(batch):
    model = create("residual")
    latents, left = model._infer(batch["image"], jax.random.key(0), None)
    vectors = model.vectors(model.encoder(batch["image"] / 127.5 - 1.0))
    np.testing.assert_allclose(left + sum(latent.z for latent in latents), vectors, atol=1e-5)
    # If one code is zero, choosing the nearest code never increases the error.
    for quantizer in model.quantizers:
        quantizer.codebook[...] = quantizer.codebook[...].at[0].set(0.0)
    left, errors = vectors, []
    for quantizer in model.quantizers:
        left = left - quantizer(left, None).z
        errors.append(np.square(left).sum(axis=-1))
    assert (errors[1] <= errors[0] + 1e-6).all() and errors[1].mean() < errors[0].mean()
    create.cache_clear()  # its codebooks have changed


@pytest.mark.parametrize("form", RECIPES)
def test_the_penalty_is_minimised_with_the_elbo_and_every_parameter_learns(form, batch):
    elbo, _ = objective.create({"distortion": {}, "rate": {}, "penalty": {}})

    def loss(model):
        outputs = model(dict(batch, step=jnp.int32(7)), key=jax.random.key(0), train=True)
        losses = elbo(outputs, batch, 0)
        return losses.total.mean(), (losses.total, losses.values)

    gradients, (values, terms) = nnx.jit(nnx.grad(loss, has_aux=True))(create(form))
    assert (terms["penalty"] > 0).all()
    np.testing.assert_allclose(
        values, terms["distortion"] + terms["rate"] + terms["penalty"], rtol=1e-6
    )
    for path, gradient in nnx.to_flat_state(gradients):
        assert np.isfinite(gradient[...]).all() and np.abs(gradient[...]).max() > 0, path


def test_the_gumbel_temperature_depends_on_the_training_step(batch):
    model = create("residual")

    def z(step, train):
        return (
            apply(model, dict(batch, step=jnp.int32(step)), jax.random.key(0), train=train)
            .latents[0]
            .z
        )

    assert not np.allclose(z(0, True), z(400_000, True))
    np.testing.assert_array_equal(z(0, False), z(400_000, False))
    np.testing.assert_allclose(model.gumbel_temperature(100_000), np.exp(-1), rtol=1e-5)
    np.testing.assert_allclose(model.gumbel_temperature(10**6), 0.01, rtol=1e-5)


def test_evaluation_tells_codes_from_units(batch):
    model = create("residual")
    batches = [dict(batch, mask=jnp.array([1.0, 1.0, 0.0]))]
    bounds = likelihood.evaluate(model, batches, key=jax.random.key(0), num_importance_samples=8)
    assert bounds["num_examples"] == 2 and "active_units" not in bounds
    assert bounds["iwae_nats"] < bounds["nats"] + 1
    quality = reconstruction.evaluate(model, batches)
    indices = [np.asarray(latent.indices[:2]).ravel() for latent in model.encode(batch["image"])]
    assert quality["codebook_used"] == [len(np.unique(layer)) / 8 for layer in indices]


@pytest.mark.parametrize(
    ("form", "changes", "reason"),
    [
        ("injected", dict(layers=(1, 1, 1, 1)), "image_size"),
        ("injected", dict(layers=()), "layers"),
        ("injected", dict(variance=0), "variance"),
        ("injected", dict(gumbel_temperature=0.0), "gumbel_temperature"),
        ("residual", dict(levels=0), "levels"),
        ("residual", dict(halvings=4), "image_size"),
    ],
)
def test_settings_that_cannot_work(form, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        models.create(RECIPES[form] | changes, rngs=nnx.Rngs(0))
