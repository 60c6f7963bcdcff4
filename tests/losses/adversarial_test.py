"""Adversarial losses agree with their closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.discriminators import patchgan
from pipeline.losses import adversarial

REAL = jnp.array([[2.0, 0.5], [-1.0, 0.0]])
FAKE = jnp.array([[-2.0, 0.0], [1.0, -0.5]])


def test_hinge():
    np.testing.assert_allclose(adversarial.hinge_generator(FAKE), [1.0, -0.25])
    # max(0, 1 - real): (0, 0.5), (2, 1); max(0, 1 + fake): (0, 1), (2, 0.5)
    np.testing.assert_allclose(
        adversarial.hinge_discriminator(REAL, FAKE), [0.5 * (0.25 + 0.5), 0.5 * (1.5 + 1.25)]
    )


def test_non_saturating():
    sigmoid = 1 / (1 + np.exp(-np.asarray(FAKE)))
    np.testing.assert_allclose(
        adversarial.non_saturating_generator(FAKE), -np.log(sigmoid).mean(1), rtol=1e-6
    )
    expected = -0.5 * (np.log(1 / (1 + np.exp(-np.asarray(REAL)))) + np.log(1 - sigmoid)).mean(1)
    np.testing.assert_allclose(
        adversarial.non_saturating_discriminator(REAL, FAKE), expected, rtol=1e-6
    )
    even = jnp.zeros((1, 4))
    np.testing.assert_allclose(
        adversarial.non_saturating_discriminator(even, even), np.log(2), rtol=1e-6
    )


def test_lecam_pulls_to_the_other_kinds_mean_from_one_side():
    found = adversarial.lecam(REAL, FAKE, jnp.float32(0.25), jnp.float32(-0.25))
    # real above -0.25 by (2.25, 0.75), (0, 0.25); fake below 0.25 by (2.25, 0.25), (0, 0.75)
    expected = [(2.25**2 + 0.75**2 + 2.25**2 + 0.25**2) / 2, (0.25**2 + 0.75**2) / 2]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_r1_is_the_squared_gradient_of_each_example():
    weights = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    x = jnp.array([[0.3, -0.7], [1.1, 0.2]])

    def discriminator(x):
        return jnp.tanh(x @ weights)

    by_hand = np.stack(
        [((1 - np.tanh(row @ weights) ** 2) * weights).sum(axis=1) for row in np.asarray(x)]
    )
    np.testing.assert_allclose(
        adversarial.r1(discriminator, x), (by_hand**2).sum(axis=1), rtol=1e-5
    )


def test_r1_through_a_discriminator_of_clips_has_the_gradient_of_its_value():
    model = patchgan.PatchGAN3D(channels=4, num_layers=1, rngs=nnx.Rngs(0))
    modeldef, params, model_state = parameters.split(model)
    # As large as trained weights: the initial 0.02 leaves nothing to measure.
    params = {
        name: value * (10 if name.endswith("kernel") else 1) for name, value in params.items()
    }
    clip = jax.random.uniform(jax.random.key(0), (2, 5, 8, 8, 3), minval=-1)
    # Not along the kernel itself: the norm that follows cancels its length.
    along = jax.random.normal(jax.random.key(1), params["convs.1.kernel"].shape) / 10

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def penalty(step):
        moved = params | {"convs.1.kernel": params["convs.1.kernel"] + step * along}
        of_each = adversarial.r1(lambda x: modeldef.merge(moved, model_state)(x), clip)
        return of_each.sum(), of_each

    (_, of_each), slope = penalty(0.0)
    # Much further away, the input of some leaky ReLU changes sign, where the penalty jumps.
    (after, _), _ = penalty(1e-3)
    (before, _), _ = penalty(-1e-3)
    assert of_each.shape == (2,) and float(of_each.min()) > 1
    np.testing.assert_allclose(slope, (after - before) / 2e-3, rtol=1e-2)


def test_adaptive_weight_is_a_clamped_ratio_without_a_gradient():
    a, b = jnp.array([3.0, 4.0]), jnp.array([0.0, 2.0])
    np.testing.assert_allclose(adversarial.adaptive_weight(a, b, eps=0.5), 2.0)
    assert float(adversarial.adaptive_weight(a, jnp.zeros(2), eps=1e-6, highest=100)) == 100
    gradient = jax.grad(lambda a: adversarial.adaptive_weight(a, b))(a)
    np.testing.assert_array_equal(gradient, 0)


def test_an_unknown_loss():
    with pytest.raises(
        ConfigError,
        match=r"objective\.adversarial\.loss='wgan' must be one of hinge, non_saturating",
    ):
        adversarial.check_kind("wgan", where="objective.adversarial")
