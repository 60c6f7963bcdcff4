import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.reduce import masked_mean
from pipeline.losses.terms import capacity

MASK = jnp.array([1.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("target", [0.5, 50.0])
def test_the_gap_has_the_value_and_the_gradient_of_the_batch_mean(target):
    rates = jax.random.uniform(jax.random.key(0), (4,)) * 6

    def gap(rates):
        return masked_mean(capacity.gap(rates, jnp.float32(target), MASK), MASK)

    def direct(rates):
        return jnp.abs(rates[:3].mean() - target)

    np.testing.assert_allclose(gap(rates), direct(rates), rtol=1e-5)
    np.testing.assert_allclose(jax.grad(gap)(rates), jax.grad(direct)(rates), rtol=1e-5)
