"""Flows: inverse, log-determinant beside jacfwd's, order, and a density that integrates to one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.flows.autoregressive import IAF, MAF
from pipeline.flows.chain import Chain, Reverse
from pipeline.flows.conv_autoregressive import ConvIAF
from pipeline.flows.coupling import RealNVP
from pipeline.flows.glow import Glow
from pipeline.flows.planar import Planar, Radial
from pipeline.nn.init import layer_factory

KEY = jax.random.key(3)
VECTORS = dict(
    planar=lambda d: Planar(d, key=KEY),
    radial=lambda d: Radial(d, key=KEY),
    real_nvp=lambda d: RealNVP(d, hidden=8, key=KEY),
    maf=lambda d: MAF(d, hidden=8, key=KEY),
    iaf=lambda d: IAF(d, hidden=8, key=KEY),
    chain=lambda d: Chain([IAF(d, hidden=8, key=KEY), Reverse(), Planar(d, key=KEY)]),
)


class OfContext(nnx.Module):
    """ConvIAF with one context for all examples."""

    def __init__(self, mirrored: bool):
        self.flow = ConvIAF(2, 4, 3, mirrored=mirrored, make=layer_factory(KEY, jnp.float32))
        self.context = nnx.Variable(jax.random.normal(KEY, (1, 2, 3, 3)))

    def __call__(self, z):
        return self.flow(z, jnp.broadcast_to(self.context[...], (len(z), 2, 3, 3)))

    def inverse(self, y):
        return self.flow.inverse(y, jnp.broadcast_to(self.context[...], (len(y), 2, 3, 3)))


MAPS = dict(
    glow=lambda: Glow(3, hidden=4, key=KEY),
    conv_iaf=lambda: OfContext(False),
    conv_iaf_mirrored=lambda: OfContext(True),
)


def disturbed(flow, by=0.4):
    """Far from the identity, where signs and terms show."""
    params = nnx.state(flow, nnx.Param)
    leaves, tree = jax.tree.flatten(params)
    moved = [
        x + by * jax.random.normal(jax.random.fold_in(KEY, i), x.shape)
        for i, x in enumerate(leaves)
    ]
    nnx.update(flow, jax.tree.unflatten(tree, moved))
    return flow


def check(flow, z, derivative=jax.jacfwd):
    @nnx.jit
    def both(flow, z):
        y, log_det = flow(z)
        jacobian = jax.vmap(derivative(lambda one: flow(one[None])[0][0].reshape(-1)))(z)
        return y, log_det, flow.inverse(y), jacobian.reshape(len(z), z[0].size, z[0].size)

    y, log_det, again, jacobian = both(flow, z)
    assert log_det.shape == z.shape and not np.allclose(y, z, atol=0.1)
    np.testing.assert_allclose(again, z, atol=2e-4)
    exact = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    np.testing.assert_allclose(log_det.reshape(len(z), -1).sum(axis=1), exact, atol=1e-4)
    assert np.abs(exact).max() > 0.05


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_come_back_and_volumes_are_those_of_the_jacobian(name):
    check(disturbed(VECTORS[name](4)), jax.random.normal(jax.random.key(0), (5, 4)))


@pytest.mark.parametrize("name", MAPS)
def test_maps_come_back_and_volumes_are_those_of_the_jacobian(name):
    flow = disturbed(MAPS[name]())
    # Convolutions have a gradient of their own on the CPU, and so no forward mode.
    channels = 3 if name == "glow" else 2
    check(flow, jax.random.normal(jax.random.key(0), (2, 2, 3, channels)), jax.jacrev)


@pytest.mark.parametrize("name", ["iaf", "planar", "real_nvp", "maf"])
def test_the_density_in_two_dimensions_integrates_to_one(name):
    flow = disturbed(VECTORS[name](2), 0.2)
    axis = np.linspace(-9, 9, 901, dtype=np.float32)
    y = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    @nnx.jit
    def density(flow, y):
        z = flow.inverse(y)
        log_q = -0.5 * jnp.square(z).sum(axis=1) - jnp.log(2 * jnp.pi) - flow(z)[1].sum(axis=1)
        return jnp.exp(log_q)

    total = np.asarray(density(flow, y), np.float64).sum() * float(axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 5e-3


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_convolutional_flow_sees_only_what_is_before(mirrored):
    flow = disturbed(OfContext(mirrored))
    z = jax.random.normal(jax.random.key(0), (2, 3, 2))
    shape = jax.jit(jax.jacrev(lambda z: flow(z[None])[0][0]))(z)
    pixels = shape.reshape(6, 2, 6, 2)[:: -1 if mirrored else 1, :, :: -1 if mirrored else 1]
    jacobian = np.asarray(pixels).reshape(12, 12)
    assert (jacobian[np.triu_indices(12, 1)] == 0).all() and (np.diag(jacobian) > 0).all()
    assert (jacobian[np.tril_indices(12, -1)] != 0).mean() > 0.5


def test_a_flow_that_begins_is_near_the_identity():
    z = jax.random.normal(jax.random.key(0), (5, 4))
    for name in ("planar", "radial", "real_nvp", "maf"):
        # A planar flow's constraint alone moves along w by up to log 2 - 1.
        np.testing.assert_allclose(jnp.abs(VECTORS[name](4)(z)[1]).max(), 0, atol=0.5)
