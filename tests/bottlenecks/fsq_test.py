"""FSQ's grid and indices, with the values of the paper's own listing (arXiv 2309.15505, A.1)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.bottlenecks.fsq import FSQ
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    "levels, features, code, index",
    [
        ((3, 5, 4), (0.25, 0.6, -7.0), (0.0, 0.5, -1.0), 10),
        ((8, 5, 5, 5), (0.25, 0.6, -7.0, 0.1), (0.25, 0.5, -1.0, 0.0), 429),
        ((8, 5, 5, 5), (1.0, -1.0, 0.5, -0.5), (0.5, -1.0, 0.5, -0.5), 326),
        ((8, 5, 5, 5), (9.0,) * 4, (0.75, 1.0, 1.0, 1.0), 999),
    ],
)
def test_codes_and_indices_of_the_listing(levels, features, code, index):
    latent = FSQ(latent_channels=len(levels), levels=levels)(jnp.array([features]))
    assert latent.z[0].tolist() == list(code) and latent.indices is not None
    assert latent.indices.tolist() == [index]


def test_the_table_of_indices_has_every_point_of_the_grid_once():
    quantizer = FSQ(latent_channels=3, levels=(4, 3, 5))
    table = quantizer.decode_indices(jnp.arange(60))
    assert len(np.unique(table, axis=0)) == 60 == quantizer.num_codes
    assert [sorted({*column.tolist()}) for column in table.T] == [
        [-1.0, -0.5, 0.0, 0.5],
        [-1.0, 0.0, 1.0],
        [-1.0, -0.5, 0.0, 0.5, 1.0],
    ]
    # Features that are bounded to a point give its index.
    half = np.asarray(quantizer.levels) // 2
    features = 1e-3 * jnp.zeros((1, 3)) + jnp.arctanh(0.9 * (table * half) / half)
    found = quantizer(features).indices
    assert found is not None and len(np.unique(found)) > 20


def test_the_gradient_is_that_of_the_bound():
    quantizer = FSQ(latent_channels=2, levels=(5, 3))
    x = jnp.array([[0.3, -0.2]])
    through = jax.grad(lambda x: quantizer(x).z.sum())(x)
    smooth = jax.grad(lambda x: (quantizer.bound(x) / jnp.array([2.0, 1.0])).sum())(x)
    np.testing.assert_allclose(through, smooth, rtol=1e-6)


@pytest.mark.parametrize("levels", [(8, 5), (8, 5, 1), (4096, 4096, 2)])
def test_levels_that_cannot_be(levels):
    with pytest.raises(ConfigError, match="levels"):
        FSQ(latent_channels=3, levels=levels)
