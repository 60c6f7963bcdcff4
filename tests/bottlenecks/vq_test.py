"""Vector quantizers: what is compared, what moves, and what is decoded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.bottlenecks.bsq import BSQ
from pipeline.bottlenecks.cosine_vq import CosineVQ
from pipeline.bottlenecks.gumbel_vq import GumbelVQ
from pipeline.bottlenecks.ibq import IBQ
from pipeline.bottlenecks.lfq import LFQ
from pipeline.bottlenecks.vq import VQ
from pipeline.core import parameters
from pipeline.core.errors import ConfigError

X = jax.random.normal(jax.random.key(1), (2, 3, 3, 4))


def create(kind=VQ, **settings):
    return kind(latent_channels=4, num_codes=16, key=jax.random.key(0), **settings)


@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
def test_the_decoder_s_gradient_reaches_the_vectors_and_not_the_codes(gradient):
    quantizer = create(gradient=gradient)
    modeldef, params, rest = parameters.split(quantizer)

    def value(params, x):
        return (modeldef.merge(params, rest).learn(x, None)[0].z ** 2).sum()

    of_params, of_x = jax.grad(value, argnums=(0, 1))(params, X)
    assert not any(np.abs(each).any() for each in of_params.values()) and np.abs(of_x).min() > 0
    if gradient == "straight_through":
        np.testing.assert_array_equal(of_x, 2 * quantizer(X).z)


def test_a_learned_codebook_s_gradient_moves_chosen_codes_alone():
    modeldef, params, rest = parameters.split(create())

    def value(params):
        _, aux = modeldef.merge(params, rest).learn(X, None)
        return jnp.square(jax.lax.stop_gradient(X) - aux["codes"][0]).sum()

    moved = np.abs(jax.grad(value)(params)["codebook.codes"]).any(axis=-1)
    chosen = np.unique(create()(X).indices)
    np.testing.assert_array_equal(np.flatnonzero(moved), chosen)


def test_on_the_sphere_distances_are_cosines():
    quantizer = create(CosineVQ, codebook=dict(name="learned.Learned", start="normal"))
    latent = quantizer(10 * X)
    unit = [
        each / jnp.linalg.norm(each, axis=-1, keepdims=True) for each in (X, quantizer.codebook())
    ]
    cosines = unit[0] @ unit[1].T
    np.testing.assert_array_equal(latent.indices, cosines.argmax(axis=-1))
    np.testing.assert_allclose(jnp.linalg.norm(latent.z, axis=-1), 1.0, rtol=1e-6)
    squares = jnp.square(unit[0] - latent.z).sum(axis=-1)
    np.testing.assert_allclose(squares, 2 - 2 * cosines.max(axis=-1), atol=1e-5)


def test_a_linear_map_moves_all_codes_by_any_gradient():
    quantizer = create(codebook=dict(name="linear_map.LinearMap"))
    modeldef, params, rest = parameters.split(quantizer)
    assert {*params} == {"codebook.kernel", "codebook.bias"} and {*rest} == {"codebook.fixed"}

    def value(params):
        _, aux = modeldef.merge(params, rest).learn(X[:1, :1, :1], None)
        return aux["codes"][0].sum()

    gradient = jax.grad(value)(params)
    changed = {name: params[name] - gradient[name] for name in params}
    assert (modeldef.merge(changed, rest).codes() != quantizer.codes()).all(axis=-1).all()


def test_the_code_of_ibq_has_the_largest_product_and_all_codes_have_a_gradient():
    quantizer = create(IBQ)
    codes = quantizer.codebook[...]
    np.testing.assert_array_equal(quantizer(X).indices, (X @ codes.T).argmax(axis=-1))
    modeldef, params, rest = parameters.split(quantizer)

    def value(params, x):
        latent, _ = modeldef.merge(params, rest).learn(x, None)
        return (latent.z * jnp.arange(4.0)).sum(), latent.z

    (of_codes, of_x), z = jax.grad(value, argnums=(0, 1), has_aux=True)(params, X)
    np.testing.assert_array_equal(z, quantizer(X).z)
    assert np.abs(of_codes["codebook"]).any(axis=-1).all() and np.abs(of_x).any()


def test_signs_scaled_to_the_sphere():
    lfq, bsq = LFQ(latent_channels=4)(X), BSQ(latent_channels=4)(3 * X)
    np.testing.assert_array_equal(lfq.z, jnp.sign(X))
    np.testing.assert_array_equal(bsq.z, jnp.sign(X) / 2)
    np.testing.assert_array_equal(lfq.indices, bsq.indices)
    gradient = jax.grad(lambda x: LFQ(latent_channels=4)(x).z.sum())(X)
    np.testing.assert_array_equal(gradient, jnp.ones_like(X))


def test_a_relaxed_draw_approaches_the_code_of_its_index():
    cold, warm = (create(GumbelVQ, temperature=each) for each in (1e-3, 1.0))
    (frozen, _), (mean, _) = (each.learn(X, jax.random.key(2)) for each in (cold, warm))
    np.testing.assert_allclose(frozen.z, cold.decode_indices(frozen.indices), atol=0.05)
    np.testing.assert_array_equal(frozen.indices, mean.indices)
    assert np.abs(mean.z - frozen.z).max() > 0.1
    np.testing.assert_array_equal(cold(X, jax.random.key(2)).indices, frozen.indices)


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(gradient="straight"), "gradient='straight': did you mean 'straight_through'"),
        (dict(codebook=dict(name="learnt.Learned")), "did you mean 'learned'"),
        (dict(codebook=dict(name="learned.Learned", decay=0.9)), "codebook.decay is not a setting"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        create(**settings)


def test_too_many_codes_are_refused():
    with pytest.raises(ConfigError, match="latent_channels=25 gives 33,554,432 codes"):
        LFQ(latent_channels=25)
