"""Scanned layers equal unrolled ones, in values, outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.backend import target
from pipeline.nn.scan import scanned_by_default, sequence


def step(layer, x, scale):
    x = jnp.tanh(layer(x)) * scale
    return x, x.sum()


def run(layers, x, inputs, **settings):
    graphs, states = nnx.split(nnx.List(layers))

    def loss(states, x):
        y, outputs = sequence(step, list(nnx.merge(graphs, states)), x, inputs, **settings)
        return jnp.square(y).sum(), outputs

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(states, x)


@pytest.mark.parametrize("remat", [False, True])
def test_scanning_changes_nothing(remat):
    layers = [nnx.Linear(3, 3, rngs=nnx.Rngs(seed)) for seed in range(3)]
    x = jax.random.normal(jax.random.key(0), (2, 3))
    inputs = [jnp.float32(scale) for scale in (1.0, 2.0, 3.0)]
    expected = run(layers, x, inputs, scanned=False)
    found = run(layers, x, inputs, scanned=True, remat=remat)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_layers_are_scanned_by_default_on_tpus_only():
    for backend, scanned in (("cpu", False), ("gpu", False), ("tpu", True)):
        with target.compiling_for(backend):
            assert scanned_by_default() == scanned


def test_layers_are_unrolled_to_count_operations():
    layers = [nnx.Linear(3, 3, rngs=nnx.Rngs(seed)) for seed in range(2)]
    inputs = [jnp.float32(1.0)] * 2

    def loops():
        function = lambda x: sequence(step, layers, x, inputs, scanned=True)  # noqa: E731
        return str(jax.make_jaxpr(function)(jnp.ones((2, 3)))).count("scan[")

    assert loops() == 1
    with target.unrolling_layers():
        assert loops() == 0
