"""The networks over patches: affine when they start, and of the sizes that their recipe gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks import patch_resnet


def test_encoder_and_decoder_start_as_an_affine_map():
    rng = np.random.default_rng(0)
    one, other = jnp.asarray(rng.normal(size=(2, 1, 8, 16, 3)), jnp.float32)
    settings = dict(patch=2, channels=(8, 12), rngs=nnx.Rngs(0))
    encoder = patch_resnet.Encoder(in_channels=3, out_channels=5, **settings)
    decoder = patch_resnet.Decoder(in_channels=5, out_channels=3, **settings)

    @jax.jit
    def code(x):
        return decoder(encoder(x)[0])[0]

    mixed = code(0.25 * one + 0.75 * other)
    np.testing.assert_allclose(mixed, 0.25 * code(one) + 0.75 * code(other), atol=1e-5)
    assert mixed.shape == one.shape and encoder(one)[0].shape == (1, 2, 4, 5)


@pytest.mark.parametrize("settings", [dict(patch=0), dict(channels=())])
def test_networks_without_pixels_or_widths_are_refused(settings):
    with pytest.raises(ConfigError, match="patch_resnet: patch="):
        patch_resnet.Encoder(in_channels=3, out_channels=4, **settings, rngs=nnx.Rngs(0))
