"""StyleGAN2's discriminator: its published size, its blur, and the deviation within groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.discriminators.stylegan import StyleGAN, blur, deviation
from pipeline.nn.conv import convolve


def test_it_has_the_authors_number_of_parameters_at_256():
    _, arrays, rest = parameters.abstract(lambda: StyleGAN(rngs=nnx.Rngs(0)))
    assert sum(array.size for array in arrays.values()) == 28_864_129 and not rest


def test_a_blur_keeps_a_constant_away_from_the_border():
    x = jnp.full((1, 8, 8, 2), 3.0)
    assert blur(x, 2).shape == (1, 9, 9, 2) and blur(x, 1).shape == (1, 7, 7, 2)
    np.testing.assert_allclose(blur(x, 2)[:, 2:-2, 2:-2], 3.0)
    impulse = jnp.zeros((1, 8, 8, 1)).at[0, 4, 4, 0].set(1.0)
    np.testing.assert_allclose(blur(impulse, 2).sum(), 1.0)


def test_the_deviation_is_of_a_group_and_zero_of_equal_examples():
    x = jax.random.normal(jax.random.key(0), (4, 4, 4, 3))
    spread = deviation(x, 2)  # examples 0 and 2, and 1 and 3
    expected = np.std(np.stack([x[0], x[2]]), axis=0).mean()
    np.testing.assert_allclose(spread[:, 0, 0, 0][jnp.array([0, 2])], expected, rtol=1e-4)
    assert float(deviation(jnp.repeat(x[:1], 4, axis=0), 4).max()) < 1e-3


def test_without_groups_examples_are_judged_alone():
    model = StyleGAN(image_size=8, channels=4, group=1, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    judge = nnx.jit(lambda model, x: model(x))
    np.testing.assert_allclose(judge(model, x)[0], judge(model, x.at[1].add(1.0))[0], rtol=1e-5)
    with pytest.raises(ConfigError, match="image_size=8, but images are 16 x 16"):
        model(jnp.zeros((1, 16, 16, 3)))
    with pytest.raises(ConfigError, match="power of two"):
        StyleGAN(image_size=24, rngs=nnx.Rngs(0))


def test_the_halving_convolution_has_the_gradient_of_the_plain_one():
    """It has no padding, and the blurred map an odd height, unlike other strided layers."""
    block = StyleGAN(image_size=8, channels=2, group=1, rngs=nnx.Rngs(0)).blocks[0]
    x = jax.random.normal(jax.random.key(0), (2, 9, 9, 2))

    def plain(kernel, x):
        order = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), "VALID", dimension_numbers=order)

    def ours(kernel, x):
        return convolve(x, kernel, 2, (0, 0))

    def gradients(layer):
        square = jax.jit(jax.grad(lambda k, x: jnp.square(layer(k, x)).sum(), argnums=(0, 1)))
        return square(block.conv2.kernel[...], x)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        gradients(ours),
        gradients(plain),
    )
