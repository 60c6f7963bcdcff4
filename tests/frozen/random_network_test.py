"""The random network: fixed weights, and feature maps of images and clips."""

import jax
import numpy as np
import pytest

from pipeline.frozen import random_network


@pytest.mark.parametrize("is_video", [False, True])
def test_weights_are_fixed_and_maps_halve_each_time(is_video):
    weights = random_network.create(is_video=is_video)
    again = random_network.create(is_video=is_video)
    jax.tree.map(np.testing.assert_array_equal, weights, again)
    frames = (5,) if is_video else ()
    x = jax.random.uniform(jax.random.key(0), (2, *frames, 16, 16, 3), minval=-1)
    maps = jax.jit(random_network.features)(weights, x)
    for number, (found, channels) in enumerate(zip(maps, random_network.CHANNELS, strict=True)):
        assert found.shape == (2, *frames, 8 >> number, 8 >> number, channels)
        assert float(found.std()) > 0.1, "features keep their scale"
