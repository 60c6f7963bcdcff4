import jax.numpy as jnp
import numpy as np

from pipeline.core.types import Latent
from pipeline.metrics.functions import codebook_usage


def latent(indices, num_codes):
    indices = jnp.asarray(indices)
    z = jnp.zeros((*indices.shape, 2))
    return Latent(z, z[..., :1], indices=indices, num_codes=num_codes)


def test_padding_is_not_counted():
    counts = codebook_usage.code_counts(
        latent([[0, 1], [1, 3], [2, 2]], 5), jnp.array([1.0, 1.0, 0.0])
    )
    np.testing.assert_array_equal(counts, [1, 2, 0, 1, 0])


def test_perplexity_and_share_used_at_their_extremes():
    assert codebook_usage.perplexity(jnp.array([7.0, 0, 0, 0])) == 1
    np.testing.assert_allclose(codebook_usage.perplexity(jnp.full(4, 3.0)), 4, rtol=1e-6)
    np.testing.assert_allclose(codebook_usage.perplexity(jnp.array([5.0, 5.0, 0, 0])), 2, rtol=1e-6)
    assert codebook_usage.used(jnp.array([5.0, 5.0, 0, 0])) == 0.5
    assert codebook_usage.perplexity(jnp.zeros(4)) == 1 and codebook_usage.used(jnp.zeros(4)) == 0


def test_bits_and_the_codes_of_each_level_of_a_position():
    assert codebook_usage.bits(jnp.full(4, 3.0)) == 2 and codebook_usage.bits(jnp.zeros(4)) == 0
    indices = jnp.array([[[0, 1], [0, 2]]])  # one example of two positions with two codes each
    several = Latent(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 1)), indices=indices, num_codes=3)
    counts = codebook_usage.count_layers([several], jnp.ones(1))
    assert [each.tolist() for each in counts] == [[2, 0, 0], [0, 1, 1]]


def test_layers_of_different_sizes_and_models_without_codes():
    layers = [jnp.array([1.0, 1.0]), jnp.array([1.0, 0, 0])]
    figures = codebook_usage.of_layers(layers)
    np.testing.assert_allclose(figures["codebook_perplexity"], [2, 1], rtol=1e-6)
    np.testing.assert_allclose(figures["codebook_used"], [1, 1 / 3], rtol=1e-6)
    gaussian = Latent(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    assert codebook_usage.of_layers(codebook_usage.count_layers([gaussian], jnp.ones(2))) == {}
