"""CogVideoX's layers: frames by parity, and norms that see the latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from autoencoders import autoencoder
from flax import nnx

from pipeline import models
from pipeline.codec import streaming_contract
from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.networks.video import cogvideox
from pipeline.networks.video.cogvideox import Layers, SpatialNorm, doubled, enlarged, halved


def frames(count: int, height: int = 1, width: int = 1):
    return jnp.arange(count, dtype=jnp.float32).reshape(1, count, 1, 1, 1) * jnp.ones(
        (1, count, height, width, 1)
    )


@pytest.mark.parametrize(
    "count, means", [(1, [0]), (4, [0.5, 2.5]), (5, [0, 1.5, 3.5]), (9, [0, 1.5, 3.5, 5.5, 7.5])]
)
def test_an_odd_number_has_its_first_frame_apart(count, means):
    half = halved(frames(count))
    np.testing.assert_array_equal(half.ravel(), means)
    assert doubled(half).shape[1] == count
    np.testing.assert_array_equal(halved(doubled(half)), half)


@pytest.mark.parametrize("latents, count", [(1, 1), (2, 2), (2, 8), (3, 5), (3, 9)])
def test_latents_are_repeated_to_the_size_of_a_map(latents, count):
    large = enlarged(frames(latents, 2, 3), jnp.zeros((1, count, 8, 12, 5)))
    assert large.shape == (1, count, 8, 12, 1)
    apart = count % 2
    each = (count - apart) // max(1, latents - apart)
    expected = [0] * apart + [place for place in range(apart, latents) for _ in range(each)]
    np.testing.assert_array_equal(large[0, :, 0, 0, 0], expected)


def test_a_norm_is_scaled_and_shifted_by_the_enlarged_latents():
    make = Layers(2, 3, rngs=nnx.Rngs(0), dtype=jnp.float32)
    layer = SpatialNorm(4, make)
    x, z = (
        jax.random.normal(jax.random.key(seed), shape)
        for seed, shape in enumerate([(1, 5, 4, 4, 4), (1, 3, 2, 2, 3)])
    )
    large = enlarged(z, x)  # as the authors: first enlarged, then convolved
    expected = layer.norm(x) * layer.scale(large) + layer.shift(large)
    np.testing.assert_allclose(layer(x, z), expected, atol=1e-5)


def test_another_number_of_widths_is_refused():
    settings = dict(in_channels=3, out_channels=4, groups=2, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="must have 4 widths, not 3"):
        cogvideox.Decoder(channels=(4, 4, 4), **settings)


def recipe(**settings):
    same = dict(channels=(4, 4, 4, 4), groups=2, num_blocks=1)
    return autoencoder(
        dict(name="video.cogvideox.Encoder", **same),
        dict(name="video.cogvideox.Decoder", **same),
        image_size=16,
        **settings,
    )


def abstract(**settings):
    return parameters.abstract(lambda: models.create(recipe(**settings), rngs=nnx.Rngs(0)))


def test_the_model_has_the_windows_and_codes_whole_clips_in_them():
    modeldef, params, _ = abstract(num_frames=17)
    model = modeldef.skeleton()
    assert model.windows is cogvideox.WINDOWS and model.latent_shapes == ((5, 2, 2, 4),)
    facts = streaming_contract.facts(model)
    assert facts["streaming"] == "D" and facts["lengths"] == "1 + 8k"

    def both(params, clip):
        (latent,) = modeldef.merge(params).encode(clip)
        return latent.mean, modeldef.merge(params).decode((latent.mean,)).mean()

    clip = jax.ShapeDtypeStruct((1, 17, 16, 16, 3), jnp.float32)
    mean, again = jax.eval_shape(both, params, clip)
    assert mean.shape == (1, 5, 2, 2, 4) and again.shape == clip.shape
    with pytest.raises(ConfigError, match=r"num_frames=5 must be 1 \+ 8k"):
        abstract(num_frames=5)
