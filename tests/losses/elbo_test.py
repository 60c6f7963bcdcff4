import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.reduce import layer_rates, masked_mean
from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import Bernoulli
from pipeline.losses import elbo

MASK = jnp.array([1.0, 1.0, 1.0, 0.0])


def latent(kl):
    return Latent(z=jnp.zeros_like(kl), kl=kl)


@pytest.fixture
def kl():
    return jax.random.uniform(jax.random.key(0), (4, 6)) * jnp.linspace(0.01, 2.0, 6)


@pytest.fixture
def batch():
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 3, 1)).astype(np.uint8)
    return dict(image=jnp.asarray(image), mask=MASK)


def outputs(*kls):
    return Outputs(Bernoulli(jnp.full((4, 3, 3, 1), 0.5)), tuple(latent(kl) for kl in kls))


def test_masked_mean_ignores_padding_even_when_it_is_not_finite():
    values = jnp.array([1.0, 2.0, 6.0, jnp.nan])
    assert masked_mean(values, MASK) == 3
    assert masked_mean(values[:3]) == 3
    assert masked_mean(values, jnp.zeros(4)) == 0
    assert np.isfinite(jax.grad(lambda x: masked_mean(x, MASK))(values)).all()


def test_rates_sum_each_layer_and_all_layers(kl):
    latents = (latent(kl.reshape(4, 1, 2, 3)), latent(2 * kl))
    np.testing.assert_allclose(
        layer_rates(latents), jnp.stack([kl.sum(1), 2 * kl.sum(1)], 1), rtol=1e-6
    )
    np.testing.assert_allclose(elbo.rate(latents), 3 * kl.sum(1), rtol=1e-6)


def test_groups_are_layers_of_a_hierarchy_and_channels_of_a_flat_model(kl):
    np.testing.assert_array_equal(elbo.group_rates((latent(kl),)), kl)
    maps = kl.reshape(4, 1, 2, 3)
    np.testing.assert_allclose(elbo.group_rates((latent(maps),)), maps.sum(axis=(1, 2)), rtol=1e-6)
    assert elbo.group_rates((latent(kl), latent(maps))).shape == (4, 2)


def test_free_bits_of_the_batch_mean(kl):
    minimum = 0.5
    mean = kl[:3].mean(axis=0)
    assert (mean < minimum).any() and (mean > minimum).any()
    charged = masked_mean(elbo.free_bits(kl, minimum, MASK), MASK)
    np.testing.assert_allclose(charged, jnp.maximum(mean, minimum).sum(), rtol=1e-6)
    gradient = jax.grad(lambda x: masked_mean(elbo.free_bits(x, minimum, MASK), MASK))(kl)
    # No pull on a group below the minimum, a third from each example on the others, none from padding.
    np.testing.assert_allclose(gradient[:3], jnp.tile((mean > minimum) / 3, (3, 1)), rtol=1e-6)
    assert (gradient[3] == 0).all()


def test_free_bits_of_each_example(kl):
    charged = elbo.free_bits_per_example(kl, 0.5)
    np.testing.assert_allclose(charged, jnp.maximum(kl, 0.5).sum(axis=1), rtol=1e-6)
    gradient = jax.grad(lambda x: elbo.free_bits_per_example(x, 0.5).sum())(kl)
    np.testing.assert_array_equal(gradient, kl > 0.5)
    assert charged.mean() >= elbo.free_bits(kl, 0.5).mean()


@pytest.mark.parametrize("target", [0.5, 50.0])
def test_capacity_gap_has_the_value_and_gradient_of_the_batch_mean(kl, target):
    rates = kl.sum(axis=1)

    def gap(rates):
        return masked_mean(elbo.capacity_gap(rates, jnp.float32(target), MASK), MASK)

    def direct(rates):
        return jnp.abs(rates[:3].mean() - target)

    np.testing.assert_allclose(gap(rates), direct(rates), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(gap)(rates), jax.grad(direct)(rates), rtol=1e-5)


def test_the_default_objective_is_the_negative_elbo(kl, batch):
    out = outputs(kl)
    loss, terms = elbo.create({})(out, batch, 0)
    np.testing.assert_allclose(
        loss, -out.recon.log_prob(batch["image"]) + kl.sum(axis=1), rtol=1e-6
    )
    np.testing.assert_allclose(terms["distortion"] + terms["rate"], loss, rtol=1e-6)
    assert terms["beta"] == 1


def test_objectives_under_jit_follow_their_schedules(kl, batch):
    out = outputs(kl)
    distortion = -out.recon.log_prob(batch["image"])
    warm = jax.jit(elbo.create(dict(beta=dict(name="linear", steps=10))))
    np.testing.assert_allclose(
        warm(out, batch, jnp.int32(5))[0], distortion + 0.5 * kl.sum(1), rtol=1e-6
    )
    capacity = jax.jit(elbo.create(dict(capacity=dict(gamma=100.0, steps=10, end=20.0))))
    loss, terms = capacity(out, batch, jnp.int32(5))
    assert terms["capacity"] == 10
    expected = masked_mean(distortion, MASK) + 100 * abs(masked_mean(kl.sum(1), MASK) - 10)
    np.testing.assert_allclose(masked_mean(loss, MASK), expected, rtol=1e-5)


def test_free_bits_change_what_is_charged_and_not_the_rate(kl, batch):
    for key in ("free_bits", "free_bits_per_example"):
        loss, terms = elbo.create({key: 0.5, "beta": 2.0})(outputs(kl, kl), batch, 0)
        np.testing.assert_allclose(terms["rate"], 2 * kl.sum(axis=1), rtol=1e-6)
        np.testing.assert_allclose(loss, terms["distortion"] + 2 * terms["charged_rate"], rtol=1e-6)


@pytest.mark.parametrize(
    "recipe, message",
    [
        (dict(betta=1.0), "did you mean 'beta'"),
        (dict(free_bits=1.0, free_bits_per_example=1.0), "exclude"),
        (dict(free_bits=-1.0), "0 or more"),
        (dict(capacity=dict(end=5.0, steps=10)), "gamma is missing"),
        (dict(capacity=dict(gamma=1.0, end=5.0, steps=10), beta=4.0), "replaces beta"),
        (dict(beta=dict(name="sin")), "objective.beta.name"),
    ],
)
def test_recipes_that_cannot_work(recipe, message):
    with pytest.raises(ConfigError, match=message):
        elbo.create(recipe)
