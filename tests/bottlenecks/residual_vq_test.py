import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.bottlenecks.residual_vq import ResidualVQ

X = jax.random.normal(jax.random.key(1), (2, 3, 3, 4))
AVERAGE = dict(name="moving_average.MovingAverage")


def quantizer(**settings):
    return ResidualVQ(latent_channels=4, levels=3, num_codes=8, key=jax.random.key(0), **settings)


@pytest.mark.parametrize("shared", [True, False])
def test_residuals_do_not_grow_where_zero_is_a_code(shared):
    residual = quantizer(shared=shared, codebook=AVERAGE)
    for codebook in residual.codebooks:
        codebook.codes[...] = codebook.codes[...].at[0].set(0.0)
    _, aux = residual.learn(X, jax.random.key(2))
    norms = [jnp.linalg.norm(X, axis=-1)]
    norms += [jnp.linalg.norm(X - total, axis=-1) for total in aux["codes"]]
    assert len(norms) == 4 and all((b <= a + 1e-5).all() for a, b in itertools.pairwise(norms))


@pytest.mark.parametrize("shared", [True, False])
def test_each_level_takes_the_code_nearest_to_the_residual(shared):
    residual = quantizer(shared=shared, codebook=AVERAGE)
    assert len(residual.codebooks) == (1 if shared else 3)
    latent, left = residual(X), X
    for level in range(3):
        codes = residual.codebooks[0 if shared else level]()
        distances = jnp.square(left[..., None, :] - codes).sum(axis=-1)
        np.testing.assert_array_equal(latent.indices[..., level], distances.argmin(axis=-1))
        left = left - codes[latent.indices[..., level]]
    np.testing.assert_allclose(latent.z, X - left, atol=1e-5)
    np.testing.assert_allclose(latent.kl, 3 * np.log(8), rtol=1e-6)


def test_a_shared_codebook_follows_the_residuals_of_all_levels():
    residual = quantizer(codebook=AVERAGE)
    latent, _ = residual.learn(X, jax.random.key(2))
    counts = residual.codebooks[0].counts[...] / residual.codebooks[0].weight[...]
    expected = np.bincount(np.asarray(latent.indices).ravel(), minlength=8)
    np.testing.assert_allclose(counts, expected, rtol=1e-5)


def test_the_gradient_of_a_level_is_its_own_codes():
    residual = quantizer(shared=False)
    _, aux = residual.learn(X, None)
    assert (
        [each.shape for each in aux["codes"]] == [X.shape] * 3 == [x.shape for x in aux["vectors"]]
    )
