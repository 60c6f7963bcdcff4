"""Self-modulated convolutions: what does not change them, and the norm of their kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.networks.lite_vae.self_modulated import SelfModulatedConv


@pytest.fixture
def layer():
    made = SelfModulatedConv(6, 4, 3, key=jax.random.key(0))
    made.scales[...] = jax.random.normal(jax.random.key(1), (6,))
    made.gain[...] = jnp.float32(1.7)
    return made


def test_the_kernel_of_each_output_has_the_gain_as_its_norm(layer):
    norms = jnp.sqrt(jnp.square(layer.weight()).sum(axis=(0, 1, 2)))
    np.testing.assert_allclose(norms, np.full(4, 1.7), rtol=1e-5)


def test_sizes_of_the_kernel_and_of_the_scales_change_nothing(layer):
    before = layer.weight()
    layer.kernel[...] = 1e3 * layer.kernel[...]
    layer.scales[...] = 0.01 * layer.scales[...]
    np.testing.assert_allclose(layer.weight(), before, rtol=1e-4)
    layer.scales[...] = -layer.scales[...]
    np.testing.assert_allclose(layer.weight(), -before, rtol=1e-4)


def test_a_channel_without_a_scale_is_not_seen(layer):
    layer.scales[...] = layer.scales[...].at[2].set(0.0)
    assert not layer.weight()[:, :, 2].any() and layer.weight()[:, :, 1].any()
