"""ConvIAF: inverse, log-determinant, and the order in which elements depend on one another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flow_checks import KEY, check, perturbed

from pipeline.flows.conv_autoregressive import ConvIAF
from pipeline.nn.init import layer_factory

both_orders = pytest.mark.parametrize("mirrored", [False, True])


class WithContext(nnx.Module):
    """ConvIAF with the same context for all examples."""

    def __init__(self, mirrored: bool):
        self.flow = ConvIAF(2, 4, 3, mirrored=mirrored, make=layer_factory(KEY, jnp.float32))
        self.context = nnx.Variable(jax.random.normal(KEY, (1, 2, 3, 3)))

    def __call__(self, z):
        return self.flow(z, jnp.broadcast_to(self.context[...], (len(z), 2, 3, 3)))

    def inverse(self, y):
        return self.flow.inverse(y, jnp.broadcast_to(self.context[...], (len(y), 2, 3, 3)))


@both_orders
def test_inverse_and_log_determinant(mirrored):
    z = jax.random.normal(jax.random.key(0), (2, 2, 3, 2))
    # The CPU's convolutions have custom gradients, and so no forward mode.
    check(perturbed(WithContext(mirrored)), z, jax.jacrev)


@both_orders
def test_an_element_depends_on_earlier_ones_alone(mirrored):
    flow = perturbed(WithContext(mirrored))
    z = jax.random.normal(jax.random.key(0), (2, 3, 2))
    jacobian = jax.jit(jax.jacrev(lambda z: flow(z[None])[0][0]))(z)
    step = -1 if mirrored else 1
    by_pixel = np.asarray(jacobian).reshape(6, 2, 6, 2)[::step, :, ::step]
    matrix = by_pixel.reshape(12, 12)
    assert (matrix[np.triu_indices(12, 1)] == 0).all() and (np.diag(matrix) > 0).all()
    assert (matrix[np.tril_indices(12, -1)] != 0).mean() > 0.5
