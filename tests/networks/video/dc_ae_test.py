"""Video DC-AE: chunks see themselves and the past, and its shortcuts undo each other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.codec import streaming_contract
from pipeline.core.errors import ConfigError
from pipeline.networks.video import dc_ae
from pipeline.nn.cache import CausalCache

SIZES: Any = dict(
    channels=(8, 16), depths=(1, 1), attention_levels=(1,), in_time=(True,), head_dim=8, chunk=4
)
X = jax.random.normal(jax.random.key(0), (1, 8, 4, 4, 3))


@pytest.fixture(scope="module")
def model():
    return models.create(
        dict(
            name="autoencoder.Autoencoder",
            image_size=4,
            num_frames=8,
            latent_channels=4,
            encoder=dict(name="video.dc_ae.Encoder", **SIZES),
            bottleneck=dict(name="identity.Identity"),
            decoder=dict(name="video.dc_ae.Decoder", **SIZES),
        ),
        rngs=nnx.Rngs(0),
    )


def test_a_chunk_sees_all_of_itself_the_past_and_nothing_behind(model):
    def of_latents(start, stop):
        return jax.jit(jax.grad(lambda x: jnp.square(model.encode(x)[0].z[:, start:stop]).sum()))(X)

    first, second = (
        np.asarray(jnp.abs(of_latents(start, start + 1)).sum(axis=(0, 2, 3, 4)) > 0)
        for start in (0, 2)
    )
    np.testing.assert_array_equal(first, [True] * 4 + [False] * 4)
    assert second[4:].all() and second[3], "the chunk itself, and the last frame before it"


def test_a_clip_is_its_chunks_with_a_cache(model):
    """The contract is D: the windows are the codec's, in a stream as for a whole clip."""
    assert streaming_contract.letter(model) == "D"
    whole = jax.jit(lambda x: model.encode(x)[0].z)(X)
    cache = CausalCache()
    parts = [model.encoder(X[:, :4], cache=cache)[0]]
    cache = CausalCache(cache.arrays())
    parts.append(model.encoder(X[:, 4:], cache=cache)[0])
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, rtol=1e-4, atol=2e-5)
    # A longer clip starts with the latents of a shorter one.
    np.testing.assert_allclose(model.encode(X[:, :4])[0].z, whole[:, :2], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("frames", [1, 2])
def test_halving_undoes_doubling_with_convolutions_of_zero(frames):
    same: Any = dict(rngs=nnx.Rngs(0), dtype=jnp.float32)
    up, down = dc_ae.Doubling(16, 8, frames, **same), dc_ae.Halving(8, 16, frames, **same)
    for layer in (up, down):
        nnx.update(layer, jax.tree.map(jnp.zeros_like, nnx.state(layer)))
    x = jax.random.normal(jax.random.key(1), (1, 2, 2, 4, 16))
    assert up(x).shape == (1, 2 * frames, 4, 8, 8)
    np.testing.assert_allclose(down(up(x)), x, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(chunk=3), "chunk=3 must be a multiple of 2"),
        (dict(in_time=(True, True)), "must say of each of the 1 halvings"),
        (dict(depths=(1,)), "of the same number of resolutions"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, message):
    same: Any = dict(in_channels=3, out_channels=4, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=message):
        dc_ae.Encoder(**(SIZES | settings), **same)
