"""The two conventions of the commitment, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.terms.codes.commitment import commitment
from pipeline.losses.terms.codes.quantization import quantization
from pipeline.losses.terms.codes.quantization_swapped import quantization_swapped

X, CODES = jnp.ones((2, 3, 3, 4)), jnp.zeros((2, 3, 3, 4))
BATCH = {"image": np.zeros((2, 8, 8, 3), np.uint8)}


def gradients(term):
    def total(x, codes):
        outputs = Outputs(None, (), {"vectors": (x,), "codes": (codes,)})
        return term.value(outputs, BATCH, 0, {}).sum()

    return total(X, CODES), *(each[0].sum() for each in jax.grad(total, (0, 1))(X, CODES))


def test_beta_is_on_the_vectors_in_the_paper_and_on_the_codes_in_public_code():
    value, of_x, of_codes = gradients(quantization(beta=0.25))
    swapped_value, swapped_x, swapped_codes = gradients(quantization_swapped(beta=0.25))
    np.testing.assert_allclose([value, swapped_value], 2 * 1.25, rtol=1e-6)
    np.testing.assert_allclose([of_x, of_codes], [0.25 * 2, -2], rtol=1e-6)
    np.testing.assert_allclose([swapped_x, swapped_codes], [2, -0.25 * 2], rtol=1e-6)
    np.testing.assert_allclose(gradients(commitment())[1:], [2, 0], rtol=1e-6)


def test_a_model_without_codes_is_told_so():
    with pytest.raises(ConfigError, match=r"objective\.commitment: this model's bottleneck has no"):
        commitment().value(Outputs(None, ()), BATCH, 0, {})
