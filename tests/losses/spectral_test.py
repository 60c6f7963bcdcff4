"""Spectral norms by power iteration."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline.core import parameters
from pipeline.losses import spectral
from pipeline.nn.conv import Conv
from pipeline.nn.norm import BatchNorm
from pipeline.nn.weight_norm import WeightNormConv


class Convolutions(nnx.Module):
    """Two kernels of one shape, one of another, and a batch norm."""

    def __init__(self):
        keys = jax.random.split(jax.random.key(0), 3)
        self.convs = nnx.List([Conv(3, 4, 3, key=keys[0]), WeightNormConv(3, 4, 3, key=keys[1])])
        self.last = Conv(4, 2, 1, key=keys[2])
        self.norm = BatchNorm(2)


def test_power_iteration_finds_the_largest_singular_values_and_their_gradient():
    modeldef, params, model_state = parameters.split(Convolutions())
    shapes = spectral.shapes(modeldef, params, model_state)
    assert {name: shape.shape for name, shape in shapes.items()} == {
        "objective.spectral.27x4": (2, 4),
        "objective.spectral.4x2": (1, 2),
    }
    model_state = spectral.completed(model_state, shapes)

    @jax.jit
    def penalty(params, model_state, first):
        def total(params):
            return spectral.penalty(modeldef.merge(params, model_state), model_state, first=first)

        return jax.value_and_grad(total, has_aux=True)(params)

    def norms(params):
        model = modeldef.merge(params, model_state)
        kernels = [
            conv.weight().reshape(-1, conv.weight().shape[-1])
            for conv in (*model.convs, model.last)
        ]
        return sum(jnp.linalg.svd(kernel, compute_uv=False)[0] for kernel in kernels) + 1.0

    expected, wanted = jax.value_and_grad(norms)(params)
    estimates, kept = [], dict(model_state)
    for _ in range(20):
        (total, directions), gradients = penalty(params, kept, True)
        estimates.append(float(total))
        kept |= directions
    # From below, and closer at each step: each step continues where the last one ended.
    assert estimates == sorted(estimates) or np.ptp(estimates[-5:]) < 1e-4
    assert estimates[0] <= float(expected) + 1e-4
    np.testing.assert_allclose(estimates[-1], expected, rtol=1e-4)
    for name in ("last.kernel", "convs.0.kernel", "convs.1.log_norm"):
        np.testing.assert_allclose(gradients[name], wanted[name], atol=2e-2, err_msg=name)
    np.testing.assert_array_equal(gradients["norm.scale"].sum(), 1.0)
    (few, _), _ = penalty(params, model_state, False)
    assert float(few) <= estimates[0], "the first step takes more rounds"
