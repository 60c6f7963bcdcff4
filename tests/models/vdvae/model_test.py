"""VDVAE: the contract, and properties of the hierarchy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.models.vdvae.model import VDVAE

SMALL = dict(
    enc_blocks="8x2,8d2,4x1,4d4,1x1",
    dec_blocks="1x1,4m1,4x1,8m4,8x1",
    width=16,
    zdim=3,
    likelihood=dict(name="logistic_mixture", num_mixtures=2),
    image_size=8,
    input_shift=-112.0,
    input_scale=1 / 70.0,
)


@functools.cache
def small_model(seed: int = 0, **changes) -> VDVAE:
    """Return a model with perturbed weights; as initialized, all priors are N(0, 1)."""
    model = VDVAE(**{**SMALL, **changes}, rngs=nnx.Rngs(seed))
    graph, state = nnx.split(model)
    keys = iter(jax.random.split(jax.random.key(seed), len(jax.tree.leaves(state))))
    state = jax.tree.map(lambda a: a + 0.05 * jax.random.normal(next(keys), a.shape), state)
    return nnx.merge(graph, state)


def images(num: int = 3, size: int = 8) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (num, size, size, 3), np.uint8))


@nnx.jit
def forward(model: VDVAE):
    return model({"image": images()}, key=jax.random.key(0), train=True)


def elbo(model: VDVAE, image, key):
    out = model({"image": image}, key=key, train=True)
    return jnp.mean(
        out.recon.log_prob(image) - sum(latent.kl.sum(axis=(1, 2, 3)) for latent in out.latents)
    )


@functools.cache
def value_and_gradients(**changes) -> tuple[jax.Array, nnx.State]:
    """Return the ELBO of the small model, and its gradients, which take long to compile."""
    return nnx.jit(nnx.value_and_grad(elbo))(small_model(**changes), images(), jax.random.key(1))


def test_priors_are_standard_normal_at_initialisation():
    model = VDVAE(**SMALL, rngs=nnx.Rngs(0))
    for latent in model.encode(images()):
        assert not jnp.any(latent.prior_mean)
        assert not jnp.any(latent.prior_logvar)


def test_latents_have_the_promised_shapes_and_the_analytic_kl():
    model = small_model()
    latents = jax.jit(lambda model, x: model.encode(x, key=jax.random.key(1)))(model, images())
    assert len(latents) == model.num_layers
    for latent, shape in zip(latents, model.latent_shapes):
        assert latent.z.shape == latent.kl.shape == (3, *shape)
        q, p = jnp.exp(latent.logvar), jnp.exp(latent.prior_logvar)
        kl = 0.5 * (
            latent.prior_logvar
            - latent.logvar
            + (q + (latent.mean - latent.prior_mean) ** 2) / p
            - 1
        )
        np.testing.assert_allclose(latent.kl, kl, atol=1e-5)
        assert jnp.all(latent.kl >= 0)


def test_call_and_encode_share_their_noise_and_decode_inverts_encode():
    model, key = small_model(), jax.random.key(3)
    out = model({"image": images()}, key=key, train=True)
    latents = model.encode(images(), key=key)
    for a, b in zip(out.latents, latents):
        np.testing.assert_array_equal(a.z, b.z)
        np.testing.assert_array_equal(a.kl, b.kl)
    decoded = model.decode([latent.z for latent in latents])
    np.testing.assert_allclose(decoded.params, out.recon.params, atol=1e-5)


def test_noise_of_a_layer_is_that_of_its_folded_key():
    model, key = small_model(), jax.random.key(3)
    for layer, latent in enumerate(model.encode(images(), key=key)):
        eps = jax.random.normal(jax.random.fold_in(key, layer), latent.z.shape)
        np.testing.assert_allclose(
            latent.z, latent.mean + jnp.exp(latent.logvar / 2) * eps, atol=1e-5
        )


def test_float_images_are_the_uint8_ones():
    model = small_model()
    for a, b in zip(model.encode(images()), model.encode(images() / np.float32(127.5) - 1)):
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-4)


def test_first_latents_are_kept_and_the_rest_is_the_priors():
    model = small_model()
    z = [latent.z for latent in model.encode(images())]
    kept = model.decode(z[:2], key=jax.random.key(0)).params
    assert not np.allclose(kept, model.decode(z[:2], key=jax.random.key(1)).params)
    np.testing.assert_array_equal(kept, model.decode(z[:2], key=jax.random.key(0)).params)
    full = model.decode(z, key=jax.random.key(0)).params
    np.testing.assert_array_equal(full, model.decode(z, key=jax.random.key(1)).params)


def test_a_residual_posterior_that_adds_nothing_is_the_prior():
    plain, residual = small_model(), small_model(residual_posterior=True)
    image, key = images(), jax.random.key(1)
    assert jax.tree.map(jnp.shape, nnx.state(plain)) == jax.tree.map(jnp.shape, nnx.state(residual))
    first, second = plain.encode(image, key=key)[0], residual.encode(image, key=key)[0]
    np.testing.assert_allclose(second.mean, first.mean + first.prior_mean, atol=1e-5)
    np.testing.assert_allclose(second.logvar, first.logvar + first.prior_logvar, atol=1e-5)
    silent = nnx.clone(residual)
    for block in silent.decoder.blocks:
        last = block.posterior.c4
        last.kernel[...], last.bias[...] = (
            jnp.zeros_like(last.kernel[...]),
            jnp.zeros_like(last.bias[...]),
        )
    for latent in silent.encode(image, key=key):
        np.testing.assert_allclose(latent.mean, latent.prior_mean, atol=1e-6)
        np.testing.assert_allclose(latent.kl, 0, atol=1e-6)


def test_temperature_zero_is_the_priors_mean_also_a_layer():
    model, key = small_model(), jax.random.key(0)
    mean = model.decode([], num=2).params
    assert jnp.all(jnp.isfinite(mean))
    np.testing.assert_array_equal(model.decode([], num=2, key=key, temperature=0.0).params, mean)
    np.testing.assert_array_equal(
        model.decode([], num=2, key=key, temperature=[0.0] * 5).params, mean
    )
    varied = model.decode([], num=2, key=key, temperature=[0.0, 0.0, 0.0, 0.0, 1.0]).params
    assert not np.allclose(varied, mean)


@pytest.mark.slow
def test_rematerialisation_changes_no_gradient():
    plain, remat = value_and_gradients(), value_and_gradients(remat=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), plain, remat)


def test_every_parameter_gets_a_finite_gradient():
    for path, grad in jax.tree.leaves_with_path(value_and_gradients()[1]):
        assert jnp.all(jnp.isfinite(grad)), path
        assert jnp.any(grad != 0), path


def test_bfloat16_compute_keeps_float32_parameters_and_statistics():
    model = VDVAE(**SMALL, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    assert {p.dtype for p in jax.tree.leaves(nnx.state(model, nnx.Param))} == {jnp.dtype("float32")}
    out = forward(model)
    assert {a.dtype for a in jax.tree.leaves(out)} == {jnp.dtype("float32")}
    exact = forward(VDVAE(**SMALL, rngs=nnx.Rngs(0)))
    np.testing.assert_allclose(out.recon.params, exact.recon.params, atol=0.1)


@pytest.mark.slow
def test_wider_coarse_resolutions_are_padded_and_cut():
    out = forward(small_model(custom_widths="4:24,1:32"))
    assert jnp.all(jnp.isfinite(out.recon.log_prob(images())))


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(enc_blocks="8x2,4d2"), "gets 8x8"),
        (dict(enc_blocks="8y2"), "'8y2'"),
        (dict(dec_blocks="1x1,2m1,8m2"), "no activation at 2x2"),
        (dict(dec_blocks="1x1,8m4"), "no earlier block"),
        (dict(dec_blocks="1x1,4m1"), "image_size is 8"),
        (dict(custom_widths="8:32"), "8x8 more"),
        (dict(custom_widths="5:32"), "of no resolution"),
        (dict(likelihood=dict(name="logistic_mixture", bits=9)), "from 1 to 8"),
        (dict(image_channels=1), "needs 3 channels"),
    ],
)
def test_bad_settings_are_told_in_one_line(change, says):
    with pytest.raises(ConfigError, match=says) as error:
        VDVAE(**{**SMALL, **change}, rngs=nnx.Rngs(0))
    assert "\n" not in str(error.value)


def test_decode_checks_its_arguments():
    with pytest.raises(ConfigError, match="num"):
        small_model().decode([])
    with pytest.raises(ConfigError, match="temperature has 2"):
        small_model().decode([], num=1, temperature=[1.0, 0.5])


@pytest.mark.parametrize("remat", [pytest.param(False, marks=pytest.mark.slow), True])
def test_scanned_layers_are_the_same_model(remat):
    """Both have one parameter tree, and equal values, gradients and samples up to rounding."""
    unrolled, scanned = small_model(), small_model(scan_layers=True, remat=remat)
    assert jax.tree.structure(nnx.state(unrolled)) == jax.tree.structure(nnx.state(scanned))
    wanted, got = value_and_gradients(), value_and_gradients(scan_layers=True, remat=remat)
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(wanted[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * float(jnp.abs(b).max()) + 1e-6)


@pytest.mark.parametrize("given", [0, 3, 5])
def test_scanned_layers_generate_the_same(given):
    """This also holds if some latents of a run of equal layers come from the prior."""
    latents = [latent.z for latent in small_model().encode(images(), key=jax.random.key(2))[:given]]
    temperature = [0.5, 0.6, 0.7, 0.8, 0.9]
    wanted, got = (
        model.decode(latents, num=3, key=jax.random.key(3), temperature=temperature).mean()
        for model in (small_model(), small_model(scan_layers=True))
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
