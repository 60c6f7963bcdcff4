import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.quantization.nearest import best_match, nearest, take


@pytest.mark.parametrize("chunk", [4, 5, 16, 64])
def test_chunks_find_the_nearest_code_and_the_first_of_equal_ones(chunk):
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(16, 3)).astype(np.float32)
    codes[9] = codes[2]
    x = np.concatenate([rng.normal(size=(30, 3)), codes[[2, 9]]]).astype(np.float32)
    indices = jax.jit(lambda x, c: nearest(x, c, chunk=chunk))(x.reshape(2, 16, 3), codes)
    distances = np.square(x[:, None].astype(np.float64) - codes).sum(axis=-1)
    np.testing.assert_array_equal(indices, distances.argmin(axis=-1).reshape(2, 16))
    assert indices.dtype == jnp.int32 and indices[1, -2:].tolist() == [2, 2]


def test_a_bias_decides_between_codes():
    codes = jnp.eye(3)
    assert best_match(jnp.ones((1, 3)), codes, jnp.array([0.0, 2.0, 1.0])).tolist() == [1]


def test_the_gradient_of_a_code_is_the_sum_over_its_positions():
    codes, indices = jnp.arange(6.0).reshape(3, 2), jnp.array([[0, 2], [2, 2]])
    weights = jnp.arange(8.0).reshape(2, 2, 2)
    own = jax.grad(lambda codes: (take(codes, indices) * weights).sum())(codes)
    plain = jax.grad(lambda codes: (codes[indices] * weights).sum())(codes)
    np.testing.assert_array_equal(own, plain)
    np.testing.assert_array_equal(take(codes, indices), codes[indices])


def test_the_whole_matrix_of_distances_is_never_held():
    shapes = (jax.ShapeDtypeStruct((2048, 8), jnp.float32),) * 2
    program = jax.jit(lambda x, codes: nearest(x, codes, chunk=64)).lower(*shapes).compile()
    memory = program.memory_analysis()
    assert memory is None or memory.temp_size_in_bytes < 2048 * 2048 * 4 / 4
