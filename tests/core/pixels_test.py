"""Conversion between uint8 and float images."""

import jax.numpy as jnp
import numpy as np

from pipeline.core import pixels


def test_every_uint8_value_survives_the_round_trip():
    image = jnp.arange(256, dtype=jnp.uint8)
    floats = pixels.to_float(image)
    assert floats.dtype == jnp.float32 and (float(floats[0]), float(floats[-1])) == (-1, 1)
    np.testing.assert_array_equal(pixels.to_uint8(floats), image)


def test_float_images_are_kept_and_values_outside_are_clipped():
    image = jnp.array([-1.5, 0.25, 1.5])
    np.testing.assert_array_equal(pixels.to_float(image), image)
    np.testing.assert_array_equal(pixels.to_uint8(image), [0, 159, 255])
