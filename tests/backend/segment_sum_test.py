import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.backend import segment_sum as lowering


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_both_lowerings_add_the_vectors_of_each_index(backend, monkeypatch):
    monkeypatch.setattr(lowering.target, "backend", lambda: backend)
    monkeypatch.setattr(lowering, "_CHUNK", 4)
    x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
    indices = np.random.default_rng(1).integers(0, 9, (3, 5))  # 9 is no multiple of the chunk
    sums = jax.jit(lambda x, i: lowering.segment_sum(x, i, 10))(x, indices)
    expected = np.zeros((10, 2))
    np.add.at(expected, indices, x)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
    counts = lowering.segment_counts(jnp.asarray(indices), 10)
    np.testing.assert_array_equal(counts, np.bincount(indices.ravel(), minlength=10))
