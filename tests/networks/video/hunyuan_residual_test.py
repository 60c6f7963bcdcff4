"""HunyuanVideo 1.5's steps between resolutions: the first frame of a clip, and chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core.errors import ConfigError
from pipeline.networks.video import hunyuan_residual
from pipeline.networks.video.hunyuan_residual import Layers, averaged, packed, repeated, unpacked
from pipeline.nn.cache import CausalCache


def noise(*shape: int):
    return jax.random.normal(jax.random.key(0), shape)


def test_packing_has_the_place_in_the_block_before_the_channel():
    x = noise(1, 4, 4, 6, 3)
    y = packed(x, (2, 2, 2))
    assert y.shape == (1, 2, 2, 3, 24)
    np.testing.assert_array_equal(y[0, 1, 1, 2, :3], x[0, 2, 2, 4])
    np.testing.assert_array_equal(y[0, 1, 1, 2, -3:], x[0, 3, 3, 5])
    np.testing.assert_array_equal(unpacked(y, (2, 2, 2)), x)
    np.testing.assert_allclose(averaged(repeated(x, 12), 3), x, rtol=1e-6)


@pytest.mark.parametrize("way", ["down", "up"])
def test_chunks_give_the_whole_and_the_first_frame_is_an_image(way):
    make = Layers(rngs=nnx.Rngs(0), dtype=jnp.float32)
    layer = make.down(4, 16, True) if way == "down" else make.up(16, 4, True)
    x = noise(1, 5, 4, 4, 4) if way == "down" else noise(1, 3, 2, 2, 16)
    whole, step = layer(x), 2 if way == "down" else 1
    assert whole.shape[1:] == ((3, 2, 2, 16) if way == "down" else (5, 4, 4, 4))
    parts, arrays = [], None
    for start, stop in [(0, 1), (1, 1 + step), (1 + step, 1 + 2 * step)]:
        cache = CausalCache(arrays)
        parts.append(layer(x[:, start:stop], cache))
        arrays = cache.arrays()
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, atol=1e-5)
    np.testing.assert_allclose(layer(x[:, :1]), whole[:, :1], atol=1e-5)


def test_widths_that_cannot_be_averaged_are_refused():
    with pytest.raises(ConfigError, match="from 4 to 12 needs a multiple of 8"):
        hunyuan_residual.Encoder(
            in_channels=3, out_channels=4, channels=(4, 12), in_time=(True,), rngs=nnx.Rngs(0)
        )
