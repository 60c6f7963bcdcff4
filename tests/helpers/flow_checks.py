"""Checks that every normalizing flow passes, of vectors or of feature maps."""

import jax
import numpy as np
from flax import nnx

KEY = jax.random.key(3)


def perturbed(flow, by=0.4):
    """Move the parameters away from the identity, where signs and terms of the maths show."""
    leaves, tree = jax.tree.flatten(nnx.state(flow, nnx.Param))
    moved = [
        x + by * jax.random.normal(jax.random.fold_in(KEY, i), x.shape)
        for i, x in enumerate(leaves)
    ]
    nnx.update(flow, jax.tree.unflatten(tree, moved))
    return flow


def check(flow, z, derivative=jax.jacfwd):
    """Check the inverse, and the log-determinant against the Jacobian of the flow."""

    @nnx.jit
    def evaluate(flow, z):
        y, log_det = flow(z)
        jacobian = jax.vmap(derivative(lambda one: flow(one[None])[0][0].reshape(-1)))(z)
        return y, log_det, flow.inverse(y), jacobian.reshape(len(z), z[0].size, z[0].size)

    y, log_det, inverted, jacobian = evaluate(flow, z)
    assert log_det.shape == z.shape and not np.allclose(y, z, atol=0.1)
    np.testing.assert_allclose(inverted, z, atol=2e-4)
    exact = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    np.testing.assert_allclose(log_det.reshape(len(z), -1).sum(axis=1), exact, atol=1e-4)
    assert np.abs(exact).max() > 0.05
