"""Haar wavelets: exact inverses, the order of bands, and chunks of clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.nn import wavelet

haar_2d, inverse_haar_2d = jax.jit(wavelet.haar_2d), jax.jit(wavelet.inverse_haar_2d)
haar_3d, inverse_haar_3d = (
    jax.jit(function, static_argnames=("first", "scale"))
    for function in (wavelet.haar_3d, wavelet.inverse_haar_3d)
)


def clip(frames: int) -> jax.Array:
    return jax.random.normal(jax.random.key(frames), (2, frames, 4, 6, 3))


@pytest.mark.parametrize("frames", [1, 5])
def test_3d_inverse_is_exact_and_orthonormal(frames):
    x = clip(frames)
    bands = haar_3d(x)
    assert bands.shape == (2, 1 + frames // 2, 2, 3, 24)
    np.testing.assert_allclose(inverse_haar_3d(bands), x, atol=1e-6)
    # The first frame counts twice; the energy of both copies is preserved.
    energy = jnp.square(x).sum() + jnp.square(x[:, :1]).sum()
    np.testing.assert_allclose(jnp.square(bands).sum(), energy, rtol=1e-6)


def test_chunks_match_the_whole_clip():
    x = clip(9)
    parts = [
        haar_3d(x[:, :1]),
        haar_3d(x[:, 1:5], first=False),
        haar_3d(x[:, 5:], first=False),
    ]
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), haar_3d(x), atol=1e-6)
    back = [inverse_haar_3d(part, first=index == 0) for index, part in enumerate(parts)]
    np.testing.assert_allclose(jnp.concatenate(back, axis=1), x, atol=1e-6)


def test_bands_are_in_wf_vaes_order():
    """A clip that changes along one axis only has energy in that axis's band alone."""
    alternating = jnp.array([1.0, -1.0] * 2)
    for axis, band in ((3, 1), (2, 2), (1, 4)):
        shape = [1] * 5
        shape[axis] = 4
        x = jnp.broadcast_to(alternating.reshape(shape), (1, 4, 4, 4, 1))
        bands = haar_3d(x, first=False)
        np.testing.assert_allclose(jnp.abs(bands).sum((0, 1, 2, 3)) > 0, np.arange(8) == band)
    for axis, band in ((1, 1), (2, 2)):
        shape = [1] * 4
        shape[axis] = 4
        x = jnp.broadcast_to(alternating.reshape(shape), (1, 4, 4, 1))
        np.testing.assert_allclose(jnp.abs(haar_2d(x)).sum((0, 1, 2)) > 0, np.arange(4) == band)


def test_channels_of_a_band_are_adjacent():
    x = jnp.ones((1, 1, 2, 2, 3)) * jnp.array([1.0, 2.0, 3.0])
    low = haar_3d(x)[..., :3]
    np.testing.assert_allclose(low[0, 0, 0, 0], 8**0.5 * np.array([1.0, 2.0, 3.0]), rtol=1e-6)


def test_2d_inverse_is_exact():
    x = clip(4)
    np.testing.assert_allclose(inverse_haar_2d(haar_2d(x)), x, atol=1e-6)


def test_wf_vaes_rounded_filters_do_not_invert_exactly():
    x = clip(5)
    back = inverse_haar_3d(haar_3d(x, scale=0.3536), scale=0.3536)
    np.testing.assert_allclose(back, 1.00026368 * x, rtol=1e-5, atol=1e-6)


def test_odd_height_is_an_error():
    with pytest.raises(ValueError, match="axis 2 is odd"):
        haar_3d(jnp.zeros((1, 1, 3, 4, 1)))


def test_a_pyramid_keeps_energy_and_doubles_a_constant():
    x = jax.random.normal(jax.random.key(0), (2, 16, 24, 3))
    bands = jax.jit(wavelet.haar_pyramid, static_argnums=1)(x, 3)
    assert [each.shape[1:] for each in bands] == [(8, 12, 12), (4, 6, 12), (2, 3, 12)]
    # All high bands, and the low one of the last level, are an orthonormal transform of the image.
    energy = sum(jnp.square(each[..., 3:]).sum() for each in bands)
    energy += jnp.square(bands[-1][..., :3]).sum()
    np.testing.assert_allclose(energy, jnp.square(x).sum(), rtol=1e-5)
    for level, each in enumerate(wavelet.haar_pyramid(jnp.full((1, 8, 8, 1), 0.5), 3), start=1):
        np.testing.assert_allclose(each[..., 0], 0.5 * 2**level)
        assert not each[..., 1:].any()
