"""The shortcuts of DC-AE alone, with convolutions of zero, and settings that do not fit."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.dc_ae import Decoder, Encoder
from pipeline.networks.dc_ae.resampling import Doubling, Halving
from pipeline.nn.resample import average_pool, nearest_upsample

RNGS: Any = dict(rngs=nnx.Rngs(0), dtype=jnp.float32)
X = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 6, 8)).astype(np.float32))


def silent(layer):
    """Return the layer with a convolution of zero, whose shortcut remains."""
    nnx.update(layer, jax.tree.map(jnp.zeros_like, nnx.state(layer)))
    return layer


@pytest.mark.parametrize("plain", [True, False])
def test_halving_undoes_doubling(plain):
    up = silent(Doubling(8, 4, upsampled=not plain, **RNGS))
    down = silent(Halving(4, 8, strided=not plain, **RNGS))
    assert up(X).shape == (1, 8, 12, 4)
    np.testing.assert_allclose(down(up(X)), X, rtol=1e-6)
    # The other way round is a projection.
    once = up(down(X[..., :4]))
    np.testing.assert_allclose(up(down(once)), once, rtol=1e-6)


def test_of_one_width_they_are_a_mean_and_a_repetition():
    np.testing.assert_allclose(silent(Halving(8, 8, **RNGS))(X), average_pool(X, 2), atol=1e-6)
    np.testing.assert_allclose(silent(Doubling(8, 8, **RNGS))(X), nearest_upsample(X, 2))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(channels=(8, 12), depths=(1, 1), attention_levels=()), "12 must be a multiple of 8"),
        (dict(channels=(4, 8, 8), depths=(1, 0, 1), attention_levels=()), "only the image's own"),
        (dict(channels=(4, 8), depths=(1, 1, 1), attention_levels=()), "the same number"),
        (dict(channels=(4, 8), depths=(1, 1), attention_levels=(2,)), "there is no resolution 2"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        Encoder(in_channels=3, out_channels=8, **settings, **RNGS)
    with pytest.raises(ConfigError, match=message):
        Decoder(in_channels=8, out_channels=3, **settings, **RNGS)
