"""The objective: sums, weights and logged values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.reduce import masked_mean
from pipeline.core.types import Latent, Outputs
from pipeline.distances.ms_ssim import ms_ssim
from pipeline.distributions.continuous import Bernoulli, Reconstruction
from pipeline.losses import objective
from pipeline.losses.objective import LOGVAR, Objective
from pipeline.losses.term import Term

CLIP = (2, 3, 4, 4, 3)
MASK = jnp.array([1.0, 1.0, 1.0, 0.0])


def codec_case(shape=CLIP, error=0.25):
    """Return a reconstruction off by `error` everywhere, a KL of 10 nats, and wavelet bands."""
    recon = jnp.zeros(shape)
    latent = Latent(jnp.zeros((2, 5)), jnp.full((2, 5), 2.0))
    bands = (jnp.ones((2, 6)), jnp.zeros((2, 6))), (jnp.zeros((2, 4)), jnp.full((2, 4), 0.5))
    outputs = Outputs(Reconstruction(recon), (latent,), {"wavelets": bands})
    return outputs, {"video" if len(shape) == 5 else "image": recon + error}


def run(outputs, batch, params=None, **recipe):
    found, frozen = objective.create({"l1": {}} | recipe)
    return found, found(outputs, batch, 0, params or {}, frozen)


def test_terms_are_summed_over_an_example():
    outputs, batch = codec_case()
    values = 3 * 4 * 4 * 3
    found, losses = run(outputs, batch, rate=dict(weight=0.1), wavelet=dict(weight=0.5))
    np.testing.assert_allclose(losses.likelihood, 0.25 * values, rtol=1e-6)
    np.testing.assert_allclose(losses.regularizer, 0.1 * 10 + 0.5 * (6 + 2), rtol=1e-6)
    np.testing.assert_allclose(losses.total, 0.25 * values + 5, rtol=1e-6)
    np.testing.assert_allclose(losses.logged["l1"], 0.25)
    np.testing.assert_allclose(losses.logged["kl"], 10 / values * np.ones((2, 1)), rtol=1e-6)
    assert found.divisor(batch) == values
    _, squared = run(outputs, batch, l1=dict(weight=0.0), l2={})
    np.testing.assert_allclose(squared.likelihood, 0.0625 * values, rtol=1e-6)


def test_per_frame_divides_the_reconstruction_alone():
    outputs, batch = codec_case()
    found, losses = run(outputs, batch, rate=dict(weight=0.1), per_frame=True)
    np.testing.assert_allclose(losses.likelihood, 0.25 * 4 * 4 * 3, rtol=1e-6)
    np.testing.assert_allclose(losses.regularizer, 0.1 * 10, rtol=1e-6)
    assert found.divisor(batch) == 4 * 4 * 3 == found.divisor({"image": jnp.zeros((2, 4, 4, 3))})


def test_a_fixed_and_a_learned_log_variance():
    outputs, batch = codec_case((2, 4, 4, 3))
    _, fixed = run(outputs, batch, logvar=-1.0)
    np.testing.assert_allclose(fixed.likelihood, 48 * (0.25 * np.e - 1), rtol=1e-6)
    # Its best value is the log of the mean error.
    values = []
    for shift in (-0.01, 0.0, 0.01):
        params = {LOGVAR: jnp.float32(np.log(0.25) + shift)}
        found, losses = run(outputs, batch, params, logvar="learned")
        values.append(float(losses.likelihood[0]))
    assert found.params == {LOGVAR: 0.0} and values[1] < min(values[0], values[2])
    np.testing.assert_allclose(losses.logged["logvar"], np.log(0.25) + 0.01, rtol=1e-6)


def test_a_distance_of_frames_counts_for_every_value_of_its_frame():
    outputs, batch = codec_case()
    term = Term(
        lambda outputs, batch, step, frozen: jnp.full(2, 0.0 + 0.1 + 0.2),
        2.0,
        log_name="tenths",
        likelihood=True,
        per_value=True,
    )
    losses = Objective((("tenths", term),))(outputs, batch, 0)
    np.testing.assert_allclose(losses.likelihood, 2.0 * 48 * (0.0 + 0.1 + 0.2), rtol=1e-6)
    np.testing.assert_allclose(losses.logged["tenths"], 0.1, rtol=1e-6)


def test_ms_ssim_counts_for_every_value_of_its_frame():
    rng = np.random.default_rng(0)
    clip = rng.uniform(-1, 1, (2, 3, 24, 24, 3)).astype(np.float32)
    recon = clip + rng.normal(0, 0.3, clip.shape).astype(np.float32)

    @jax.jit
    def both(clip, recon):
        outputs = Outputs(Reconstruction(recon), codec_case()[0].latents)
        recipe = dict(per_frame=True, logvar=-1.0)
        similarity = ms_ssim(clip.reshape(6, 24, 24, 3), recon.reshape(6, 24, 24, 3), scales=2)
        _, plain = run(outputs, {"video": clip}, **recipe)
        _, losses = run(outputs, {"video": clip}, **recipe, ms_ssim=dict(weight=2.0))
        return similarity.reshape(2, 3), plain, losses

    similarity, plain, losses = both(clip, recon)
    assert 0.3 < float(similarity.min()) < float(similarity.max()) < 0.95
    expected = 2.0 * 24 * 24 * 3 * (1 - similarity).sum(axis=1) / 3 * np.e
    np.testing.assert_allclose(losses.likelihood - plain.likelihood, expected, rtol=1e-4)
    np.testing.assert_allclose(
        losses.logged["ms_ssim_loss"], 1 - similarity.mean(axis=1), rtol=1e-5
    )
    with pytest.raises(
        ConfigError, match=r"objective\.ms_ssim needs frames of 21 pixels .* these are 20x30"
    ):
        run(*codec_case((2, 20, 30, 3)), ms_ssim={})


def likelihood_case(*scales):
    """Return a Bernoulli likelihood of 4 images, and one layer of latents per scale of the KL."""
    kl = jax.random.uniform(jax.random.key(0), (4, 6)) * jnp.linspace(0.01, 2.0, 6)
    latents = tuple(Latent(jnp.zeros_like(kl), scale * kl) for scale in scales)
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 1)).astype(np.uint8)
    outputs = Outputs(Bernoulli(jnp.full((4, 3, 3, 1), 0.5)), latents)
    return outputs, dict(image=jnp.asarray(image), mask=MASK), kl.sum(axis=1)


def elbo(**recipe):
    return objective.create({"distortion": {}, "rate": {}} | recipe)[0]


def test_distortion_and_rate_are_the_negative_elbo():
    outputs, batch, rate = likelihood_case(1.0)
    losses = elbo()(outputs, batch, 0)
    distortion = -outputs.recon.log_prob(batch["image"])
    np.testing.assert_allclose(losses.total, distortion + rate, rtol=1e-6)
    assert losses.logged.keys() == {"distortion", "kl"}


def test_weights_follow_their_schedules_under_jit():
    outputs, batch, rate = likelihood_case(1.0)
    distortion = -outputs.recon.log_prob(batch["image"])
    warm = elbo(rate=dict(weight=dict(name="linear", steps=10)))
    losses = jax.jit(warm)(outputs, batch, jnp.int32(5))
    np.testing.assert_allclose(losses.total, distortion + 0.5 * rate, rtol=1e-6)
    assert losses.logged["rate_weight"] == 0.5
    target = dict(name="linear", steps=10, end=20.0)
    capacity = elbo(rate=dict(weight=0.0), capacity=dict(weight=100.0, target=target))
    losses = jax.jit(capacity)(outputs, batch, jnp.int32(5))
    assert losses.logged["capacity"] == 10
    expected = masked_mean(distortion, MASK) + 100 * abs(masked_mean(rate, MASK) - 10)
    np.testing.assert_allclose(masked_mean(losses.total, MASK), expected, rtol=1e-5)


def test_free_bits_change_the_charge_and_not_the_kl():
    outputs, batch, rate = likelihood_case(1.0, 1.0)
    for name in ("free_bits", "free_bits_per_example"):
        found = elbo(rate=dict(weight=0.0), **{name: dict(minimum=20.0, weight=2.0)})
        losses = found(outputs, batch, 0)
        np.testing.assert_allclose(losses.logged["kl"].sum(axis=1), 2 * rate / 9, rtol=1e-6)
        np.testing.assert_allclose(losses.total - losses.likelihood, 2 * 2 * 20.0, rtol=1e-5)


def test_a_penalty_must_be_named():
    outputs, batch, _ = likelihood_case(1.0)
    outputs = outputs.replace(aux={"penalty": jnp.full(4, 3.0)})
    with pytest.raises(ConfigError, match=r"objective\.penalty is missing"):
        elbo()(outputs, batch, 0)
    plain = elbo(penalty=dict(weight=0.0))(outputs, batch, 0)
    losses = elbo(penalty={})(outputs, batch, 0)
    np.testing.assert_allclose(losses.total - plain.total, 3.0, rtol=1e-6)
    with pytest.raises(ConfigError, match="this model has none"):
        elbo(penalty={})(outputs.replace(aux={}), batch, 0)


def test_the_unit_is_a_dimension_or_an_image():
    _, batch, _ = likelihood_case(1.0)
    assert elbo().divisor(batch) == 9 and elbo(unit="image").divisor(batch) == 1


@pytest.mark.parametrize(
    "recipe, message",
    [
        (dict(ratte={}), "objective.ratte is not a loss term or setting: did you mean 'rate'"),
        (dict(logvar="lerned"), "must be a number or 'learned'"),
        (dict(unit="pixel"), "objective.unit='pixel'"),
        (dict(perceptual={}), "objective.perceptual.weights is empty"),
        (dict(perceptual=dict(file="x")), "objective.perceptual.file is not a setting"),
        (dict(wavelet=dict(weight=-1.0)), "objective.wavelet.weight=-1.0 must be 0 or more"),
        (dict(wavelet=0.1), r"objective.wavelet=0.1 must be a dict"),
        (dict(rate=dict(weight=dict(name="sin"))), "objective.rate.weight.name"),
        (dict(rate=dict(weight="low")), "objective.rate.weight='low' must be a number or a sched"),
        (dict(spectral=dict(weight=dict(name="steep"))), "objective.spectral.weight.name"),
        (dict(free_bits=dict(minimum=1.0), rate={}), "free_bits, rate exclude one another"),
        (dict(free_bits=dict(minimum=-1.0)), "objective.free_bits.minimum=-1.0"),
        (dict(capacity=dict(target=dict(name="linear"))), "objective.capacity.target.steps is mis"),
        (dict(l1=dict(weight=0.0)), "no term that measures the reconstruction"),
    ],
)
def test_recipes_that_cannot_work(recipe, message):
    with pytest.raises(ConfigError, match=message):
        objective.create({"l1": {}} | recipe)


def test_terms_that_do_not_suit_the_model():
    outputs, batch = codec_case()
    with pytest.raises(ConfigError, match="has no wavelet bands"):
        run(outputs.replace(aux={}), batch, wavelet={})
    with pytest.raises(ConfigError, match="output has no likelihood"):
        run(outputs, batch, distortion={})
