import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.quantization import binary_entropy, bits

LOGITS = 2 * jax.random.normal(jax.random.key(0), (3, 4, 6))


def over_all_codes(logits):
    """Return q(k | x) of all 2^d codes, as a softmax of (logits / 2) . code."""
    codes = jnp.array(list(itertools.product((-1.0, 1.0), repeat=logits.shape[-1])))
    return jax.nn.softmax(logits @ codes.T / 2)


def entropy(p):
    return -(p * np.log(p)).sum(axis=-1)


def test_the_factorized_entropy_equals_the_one_over_all_codes():
    full = entropy(over_all_codes(LOGITS))
    np.testing.assert_allclose(binary_entropy.of_positions(LOGITS), full, rtol=1e-5)


def test_the_entropy_of_the_mean_is_exact_in_one_group_and_bounded_by_several():
    full = entropy(over_all_codes(LOGITS).mean(axis=(0, 1)))
    one = binary_entropy.of_all(LOGITS, group=6)
    np.testing.assert_allclose(one, full, rtol=1e-5)
    three, six = (binary_entropy.of_all(LOGITS, group=group) for group in (2, 1))
    assert one < three < six <= 6 * np.log(2) + 1e-6
    marginals = jax.nn.sigmoid(LOGITS).mean(axis=(0, 1))
    np.testing.assert_allclose(six, entropy(np.stack([marginals, 1 - marginals], -1)).sum(), 1e-5)


def test_padding_has_no_part_in_the_mean():
    weights = jnp.array([1.0, 1.0, 0.0])
    padded = binary_entropy.of_all(LOGITS, group=4, weights=weights)
    np.testing.assert_allclose(padded, binary_entropy.of_all(LOGITS[:2], group=4), rtol=1e-6)


@pytest.mark.parametrize("value", [-1e4, 0.0, 1e4])
def test_gradients_are_finite_for_certain_bits(value):
    logits = jnp.full((1, 2, 3), value)
    both = lambda x: binary_entropy.of_positions(x).sum() + binary_entropy.of_all(x, group=3)  # noqa: E731
    assert np.isfinite(jax.grad(both)(logits)).all()


def test_indices_and_signs_are_inverse():
    indices = jnp.arange(64)
    signs = bits.signs_of(indices, 6)
    np.testing.assert_array_equal(bits.index_of(signs), indices)
    assert signs[1].tolist() == [1, -1, -1, -1, -1, -1] and bits.index_of(jnp.zeros((1, 6)))[0] == 0
