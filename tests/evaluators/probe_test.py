"""The probe: Gaussian latents in closed form, the same result for a seed, and its limits."""

import runpy

import jax.numpy as jnp
import numpy as np
import pytest
from block_codec import Blocks

from pipeline.core.errors import ConfigError, DataError
from pipeline.evaluators import probe
from pipeline.metrics.functions import embedding

RNG = np.random.default_rng(0)
TINY = dict(
    steps=3,
    marks=(1, 3),
    batch_size=8,
    num_examples=16,
    num_samples=8,
    sampler_steps=2,
    denoiser=dict(name="transformer.Transformer", width=16, depth=1, heads=2),
)


def batches(count=4):
    for _ in range(count):
        yield dict(image=RNG.integers(0, 256, (8, 8, 8, 3)).astype(np.uint8), mask=np.ones(8))


class Linear:
    """The best velocity of a Gaussian whose channels are independent, with these variances."""

    def __init__(self, variances):
        self.variances = jnp.asarray(variances, jnp.float32)

    def merge(self, params, others):
        def velocity(x, t, **_):
            t = t.reshape(-1, 1, 1, 1)
            return (t - (1 - t) * self.variances) / ((1 - t) ** 2 * self.variances + t**2) * x

        return velocity


def test_the_best_velocity_of_gaussian_latents_has_the_ratio_1():
    variances = np.array([0.2, 1.0, 3.0])
    z = RNG.normal(size=(20_000, 2, 2, 3)) * np.sqrt(variances)
    best = probe._gaussian_losses(z[:10_000], z[10_000:])
    settings = probe.Settings(**TINY | dict(batch_size=2_000))
    found = probe._held_out(probe._batch_loss(Linear(variances), {}), {}, z[10_000:], settings)
    np.testing.assert_allclose(found, best, rtol=0.03)
    worse = probe._held_out(
        probe._batch_loss(Linear(variances * 1.5), {}), {}, z[10_000:], settings
    )
    assert worse.mean() > found.mean()


def test_a_probe_trains_reports_and_repeats():
    features = embedding.create("random", weights="", is_video=False, where="")
    settings = probe.Settings(**TINY)

    def run():
        global RNG
        RNG = np.random.default_rng(1)
        return probe.evaluate(Blocks(), batches(), batches(), settings, features=features)

    one, two = run(), run()
    assert one["loss_at"] == two["loss_at"] and one["loss_at"].keys() == {"1", "3"}
    assert one["loss_ratio"] == one["loss_at"]["3"] > 0.5
    assert one["generated_distance"] == two["generated_distance"] > 0
    assert one["num_examples"] == 16 and len(one["loss_of_times"]["probe"]) == 10
    with pytest.raises(DataError, match="8 training examples are fewer than its batch_size=16"):
        larger = probe.Settings(**TINY | dict(batch_size=16))
        probe.evaluate(Blocks(), batches(1), batches(1), larger, features=features)


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match="steps=0 must be 1 or more"):
        probe.Settings(**TINY | dict(steps=0))


@pytest.mark.parametrize("name", ["cifar10", "video"])
def test_the_settings_of_the_configs_are_settings(name):
    get = runpy.run_path(f"configs/probe/{name}.py")["get_probe"]
    for argument in ("", "tiny"):
        assert probe.Settings(**get(argument)).marks[-1] == probe.Settings(**get(argument)).steps
