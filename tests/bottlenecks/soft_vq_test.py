"""SoftVQ: the limits of its temperature, its codebooks, and the entropies of its weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.bottlenecks.soft_vq import SoftVQ
from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.losses.terms.codes.soft_code_entropy import soft_code_entropy
from pipeline.quantization.sphere import on_sphere

H = jax.random.normal(jax.random.key(1), (2, 6, 4))


def made(**settings):
    return SoftVQ(latent_channels=4, codebook_size=5, key=jax.random.key(0), **settings)


def test_a_low_temperature_gives_the_nearest_code_and_a_high_one_the_mean_of_all():
    codes = on_sphere(made().codes[0])
    nearest = codes[jnp.argmax(on_sphere(H) @ codes.T, axis=-1)]
    np.testing.assert_allclose(made(temperature=1e-4)(H).z, nearest, atol=1e-5)
    np.testing.assert_allclose(
        made(temperature=1e6)(H).z, jnp.broadcast_to(codes.mean(0), H.shape), atol=1e-5
    )


def test_positions_are_divided_among_codebooks_in_order():
    whole = made(codebooks=2)
    z = whole(H).z
    for number, part in enumerate((H[:, :3], H[:, 3:])):
        one = made()
        one.codes[...] = whole.codes[number : number + 1]
        np.testing.assert_allclose(z[:, 3 * number : 3 * number + 3], one(part).z, atol=1e-6)
    with pytest.raises(ConfigError, match="codebooks=4 must divide the 6 positions"):
        made(codebooks=4)(H)


def test_entropies_of_one_code_and_of_all_codes():
    def value(cosines):
        outputs = Outputs(Reconstruction(jnp.zeros((2, 1, 1, 1))), (), {"code_cosines": cosines})
        return soft_code_entropy().value(outputs, {}, 0, {})

    sure = jnp.zeros((2, 1, 5, 5)) + jnp.eye(5)  # each position has its own code
    np.testing.assert_allclose(value(sure), -math.log(5), rtol=1e-5)
    np.testing.assert_allclose(value(jnp.zeros((2, 3, 5, 5))), 0.0, atol=1e-5)
    one = jnp.zeros((2, 1, 5, 5)).at[..., 0].set(1.0)  # all positions have the same code
    np.testing.assert_allclose(value(one), 0.0, atol=1e-5)
