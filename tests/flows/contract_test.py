"""Every flow of pipeline/flows: inverse, log-determinant, and a normalized density."""

import importlib
import inspect
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flow_checks import KEY, check, perturbed

from pipeline import flows
from pipeline.flows.chain import Chain

MODULES = sorted(path.stem for path in pathlib.Path(flows.__file__).parent.glob("[!_]*.py"))
# The module with the base class, and the one whose flow has a context (conv_autoregressive_test).
OTHERS = {"chain", "conv_autoregressive"}


def flows_of(module: str) -> list[type[Chain]]:
    """Return the flows that a recipe can name in a module."""
    names = vars(importlib.import_module(f"pipeline.flows.{module}")).values()
    return [
        kind
        for kind in names
        if isinstance(kind, type) and issubclass(kind, Chain) and kind.__module__.endswith(module)
    ]


FLOWS = [kind for module in MODULES if module not in OTHERS for kind in flows_of(module)]
every_flow = pytest.mark.parametrize("kind", FLOWS, ids=lambda kind: kind.__name__)


def create(kind, features, depth):
    """Make a flow with few hidden units, so that a perturbed one inverts well in float32."""
    hidden = {"hidden": 8} if "hidden" in inspect.signature(kind.__init__).parameters else {}
    return kind(features, depth=depth, key=KEY, **hidden)


@pytest.mark.parametrize("module", sorted(set(MODULES) - OTHERS))
def test_every_file_has_a_flow(module):
    assert flows_of(module)


@every_flow
def test_inverse_and_log_determinant(kind):
    z = jax.random.normal(jax.random.key(0), (5, 4))
    check(perturbed(create(kind, 4, depth=2)), z)


@every_flow
def test_the_inverse_knows_the_log_determinant(kind):
    @nnx.jit
    def both(flow, z):
        y, log_det = flow(z)
        return log_det, flow.inverse_and_log_det(y)

    z = jax.random.normal(jax.random.key(0), (5, 4))
    log_det, (again, same) = both(perturbed(create(kind, 4, depth=2)), z)
    np.testing.assert_allclose(again, z, atol=2e-4)
    np.testing.assert_allclose(same.sum(axis=1), log_det.sum(axis=1), atol=1e-3)


@every_flow
def test_density_integrates_to_one(kind):
    flow = perturbed(create(kind, 2, depth=1), 0.2)
    axis = np.linspace(-9, 9, 901, dtype=np.float32)
    y = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    @nnx.jit
    def density(flow, y):
        z = flow.inverse(y)
        log_q = -0.5 * jnp.square(z).sum(axis=1) - jnp.log(2 * jnp.pi) - flow(z)[1].sum(axis=1)
        return jnp.exp(log_q)

    total = np.asarray(density(flow, y), np.float64).sum() * float(axis[1] - axis[0]) ** 2
    assert abs(total - 1) < 5e-3


@every_flow
def test_depth_is_the_number_of_steps(kind):
    def count(depth):
        return len(jax.tree.leaves(nnx.state(create(kind, 4, depth), nnx.Param)))

    assert count(3) == 3 * count(1)


@every_flow
def test_initial_volume_change_is_small(kind):
    z = jax.random.normal(jax.random.key(0), (5, 4))
    log_det = create(kind, 4, depth=1)(z)[1].sum(axis=1)
    # The constraint on a planar step's u alone moves z along w, by up to log(2) - 1. IAF's gate
    # multiplies each element by 0.88 before it is trained.
    np.testing.assert_allclose(log_det, 0, atol=0.6)
