"""The codec's objective: what is summed, what is weighed, and what is shown."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.distances.ms_ssim import ms_ssim
from pipeline.distributions.continuous import Reconstruction
from pipeline.frozen.lpips import PerceptualDistance
from pipeline.losses import codec

CLIP = (2, 3, 4, 4, 3)


def case(shape=CLIP, error=0.25):
    recon = jnp.zeros(shape)
    x = recon + error
    latent = Latent(jnp.zeros((2, 5)), jnp.full((2, 5), 2.0))
    bands = (jnp.ones((2, 6)), jnp.zeros((2, 6))), (jnp.zeros((2, 4)), jnp.full((2, 4), 0.5))
    return Outputs(Reconstruction(recon), (latent,), {"wavelets": bands}), {
        "video" if len(shape) == 5 else "image": x
    }


def run(outputs, batch, params=None, **recipe):
    objective, frozen = codec.create(recipe)
    return objective, objective(outputs, batch, 0, params or {}, frozen)


def test_terms_are_summed_over_an_example():
    outputs, batch = case()
    values = 3 * 4 * 4 * 3
    objective, terms = run(outputs, batch, kl=0.1, wavelet=0.5)
    np.testing.assert_allclose(terms.nll, 0.25 * values, rtol=1e-6)
    np.testing.assert_allclose(terms.rest, 0.1 * 10 + 0.5 * (6 + 2), rtol=1e-6)
    np.testing.assert_allclose(terms.shown["reconstruction"], 0.25)
    np.testing.assert_allclose(terms.shown["kl"], 10 / values * np.ones((2, 1)), rtol=1e-6)
    assert objective.unit(CLIP) == values
    _, squared = run(outputs, batch, reconstruction="l2")
    np.testing.assert_allclose(squared.nll, 0.0625 * values, rtol=1e-6)


def test_per_frame_divides_pixels_alone():
    outputs, batch = case()
    objective, terms = run(outputs, batch, kl=0.1, per_frame=True)
    np.testing.assert_allclose(terms.nll, 0.25 * 4 * 4 * 3, rtol=1e-6)
    np.testing.assert_allclose(terms.rest, 0.1 * 10, rtol=1e-6)
    assert objective.unit(CLIP) == 4 * 4 * 3 and objective.unit((2, 4, 4, 3)) == 4 * 4 * 3


def test_a_fixed_and_a_learned_log_variance():
    outputs, batch = case((2, 4, 4, 3))
    _, fixed = run(outputs, batch, logvar=-1.0, kl=0.0)
    np.testing.assert_allclose(fixed.nll, 48 * (0.25 * np.e - 1), rtol=1e-6)
    # Its best value is the log of the mean error.
    losses = []
    for shift in (-0.01, 0.0, 0.01):
        params = {codec.LOGVAR: jnp.float32(np.log(0.25) + shift)}
        objective, terms = run(outputs, batch, params, logvar="learned", kl=0.0)
        losses.append(float(terms.nll[0]))
    assert objective.params == {codec.LOGVAR: 0.0} and losses[1] < min(losses[0], losses[2])
    np.testing.assert_allclose(terms.shown["logvar"], np.log(0.25) + 0.01, rtol=1e-6)


class Tenths(PerceptualDistance):
    """A distance of 0.1 times the frame's number."""

    def __call__(self, weights, a, b):
        return jnp.broadcast_to(jnp.arange(a.shape[1]) / 10, a.shape[:2])


def test_a_perceptual_distance_counts_for_every_value_of_its_frame():
    outputs, batch = case()
    objective, _ = codec.create(dict(kl=0.0))
    objective = dataclasses.replace(objective, perceptual=Tenths("vgg16"), perceptual_weight=2.0)
    terms = objective(outputs, batch, 0, {}, {})
    np.testing.assert_allclose(terms.nll, 0.25 * 144 + 2.0 * 48 * (0.0 + 0.1 + 0.2), rtol=1e-6)
    np.testing.assert_allclose(terms.shown["lpips"], 0.1, rtol=1e-6)


def test_ms_ssim_counts_for_every_value_of_its_frame():
    rng = np.random.default_rng(0)
    clip = rng.uniform(-1, 1, (2, 3, 24, 24, 3)).astype(np.float32)
    recon = clip + rng.normal(0, 0.3, clip.shape).astype(np.float32)

    @jax.jit
    def both(clip, recon):
        outputs, recipe = (
            Outputs(Reconstruction(recon), case()[0].latents),
            dict(per_frame=True, logvar=-1.0),
        )
        similarity = ms_ssim(clip.reshape(6, 24, 24, 3), recon.reshape(6, 24, 24, 3), scales=2)
        _, plain = run(outputs, {"video": clip}, **recipe)
        return (
            similarity.reshape(2, 3),
            plain,
            run(outputs, {"video": clip}, **recipe, ms_ssim=2.0)[1],
        )

    similarity, plain, terms = both(clip, recon)
    assert 0.3 < float(similarity.min()) < float(similarity.max()) < 0.95
    expected = 2.0 * 24 * 24 * 3 * (1 - similarity).sum(axis=1) / 3 * np.e
    np.testing.assert_allclose(terms.nll - plain.nll, expected, rtol=1e-4)
    np.testing.assert_allclose(terms.shown["ms_ssim_2_scales"], similarity.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(terms.rest, plain.rest)
    with pytest.raises(
        ConfigError, match=r"objective\.ms_ssim needs frames of 21 pixels .* these are 20x30"
    ):
        run(*case((2, 20, 30, 3)), ms_ssim=1.0)


@pytest.mark.parametrize(
    "recipe, message",
    [
        (dict(reconstruction="l3"), "objective.reconstruction='l3'"),
        (dict(logvar="lerned"), "must be a number or 'learned'"),
        (dict(kll=1.0), "objective.kll is not a setting of codec: did you mean 'kl'"),
        (dict(perceptual=dict(weight=1.0)), "objective.perceptual.weights is empty"),
        (dict(perceptual=dict(weight=1.0, file="x")), "objective.perceptual.file is not a setting"),
        (dict(perceptual=dict(weight=-1.0)), "must be 0 or more"),
        (dict(wavelet=-1.0), "objective.wavelet=-1.0"),
        (dict(ms_ssim=-0.5), "objective.ms_ssim=-0.5 must be 0 or more"),
    ],
)
def test_recipes_that_cannot_be(recipe, message):
    with pytest.raises(ConfigError, match=message):
        codec.create(recipe)


def test_a_model_without_bands():
    outputs, batch = case()
    with pytest.raises(ConfigError, match="has no wavelet bands"):
        run(Outputs(outputs.recon, outputs.latents), batch, wavelet=1.0)
