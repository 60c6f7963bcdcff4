"""NVAE: the flow in the posterior, and statistics that move only in training."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob, log_ratio
from pipeline.evaluators.batch_statistics import has_statistics, reestimated
from pipeline.models.nvae.model import NVAE

SMALL: Any = dict(image_size=8, channels=4, groups=(1, 1), latent_dim=2, cells=1, blocks=(1,))


@functools.cache
def model() -> NVAE:
    """Return a model with flows, with weights away from their initial values."""
    made = NVAE(
        **SMALL,
        num_flows=1,
        likelihood=dict(name="logistic_mixture", num_mixtures=1),
        rngs=nnx.Rngs(0),
    )
    for group in made.decoder.groups:
        group.flows[0].first.narrow.log_norm[...] = group.flows[0].first.narrow.log_norm[...] + 4
    return made


def images(num: int = 3) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (num, 8, 8, 3), np.uint8))


@functools.cache
def inferred():
    """Return outputs in training (batch statistics), in evaluation (running ones); both models."""

    @jax.jit
    def run(model, key):
        trained = nnx.clone(model)
        training = trained({"image": images()}, key=key, train=True)
        outputs = model({"image": images()}, key=key, train=False)
        decoded = model.decode([latent.z for latent in outputs.latents])
        return (
            training,
            outputs,
            decoded,
            nnx.state(trained, nnx.BatchStat),
            nnx.state(model, nnx.BatchStat),
        )

    return run(model(), jax.random.key(3))


def test_the_flow_keeps_the_density_of_its_gaussian():
    _, outputs, _, _, _ = inferred()
    for layer, latent in enumerate(outputs.latents):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(3), layer), latent.z.shape)
        before = latent.mean + jnp.exp(latent.logvar / 2) * noise
        assert float(jnp.abs(latent.z - before).max()) > 1e-3, "the flow moved it"
        np.testing.assert_allclose(
            latent.log_q, gaussian_log_prob(before, latent.mean, latent.logvar), atol=1e-4
        )
        log_p = gaussian_log_prob(latent.z, latent.prior_mean, latent.prior_logvar)
        np.testing.assert_allclose(latent.kl, latent.log_q - log_p, atol=1e-4)
        np.testing.assert_allclose(
            log_ratio(latent), -latent.kl.sum(axis=(1, 2, 3)), rtol=1e-4, atol=1e-4
        )


def test_the_first_prior_is_fixed_and_the_others_are_not():
    first, second = inferred()[1].latents
    np.testing.assert_allclose(first.prior_mean, 0)
    np.testing.assert_allclose(jnp.exp(first.prior_logvar / 2), 1.01, rtol=1e-5)
    assert float(second.prior_mean.std()) > 0


def test_decoding_what_was_encoded_gives_the_likelihood():
    _, outputs, decoded, _, _ = inferred()
    np.testing.assert_allclose(decoded.params, outputs.recon.params, atol=1e-4)


def test_statistics_move_in_training_alone():
    training, outputs, _, moved, kept = inferred()
    before = nnx.state(model(), nnx.BatchStat)
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(before)))
    jax.tree.map(np.testing.assert_array_equal, kept, before)
    assert not np.allclose(training.recon.params, outputs.recon.params)


def test_reestimated_statistics_are_means_over_samples_and_of_the_decoder_alone():
    assert has_statistics(model())
    after = reestimated(model(), num=4, passes=3, key=jax.random.key(0), temperature=0.7)
    statistic = after.decoder.after[0].norms[0].mean

    @jax.jit
    def one(model, key):
        """Return the mean of the batch: with a momentum of 1, nothing else remains."""
        model.decode((), num=4, key=key, temperature=0.7, momentum=1.0)
        return model.decoder.after[0].norms[0].mean[...]

    each = [
        one(nnx.clone(model()), jax.random.fold_in(jax.random.key(0), number))
        for number in range(3)
    ]
    np.testing.assert_allclose(statistic[...], np.mean(each, axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(
        after.encoder.before[0].norm1.mean[...], model().encoder.before[0].norm1.mean[...]
    )
    for a, b in zip(
        jax.tree.leaves(nnx.state(after, nnx.Param)), jax.tree.leaves(nnx.state(model(), nnx.Param))
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(image_size=10), "multiple of 4"),
        (dict(groups=()), "groups"),
        (dict(blocks=(0,)), "blocks"),
        (dict(channels=1), "channels"),
        (dict(image_channels=1), "3 channels"),
    ],
)
def test_bad_settings_are_told_in_one_line(change, says):
    with pytest.raises(ConfigError, match=says) as error:
        nnx.eval_shape(lambda: NVAE(**{**SMALL, **change}, rngs=nnx.Rngs(0)))
    assert "\n" not in str(error.value)
