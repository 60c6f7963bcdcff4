"""What helps any hierarchy: balanced KL, spectral norms by power iteration, nats of an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters, schedules
from pipeline.core.errors import ConfigError
from pipeline.core.reduce import layer_rates
from pipeline.core.types import Latent
from pipeline.losses import elbo, spectral
from pipeline.nn.conv import Conv
from pipeline.nn.norm import BatchNorm
from pipeline.nn.weight_norm import WeightNormConv


def latents() -> tuple[Latent, ...]:
    """One layer of 2x2, two of 4x4, of 2 examples."""
    rng = np.random.default_rng(0)
    shapes = [(2, 2, 2, 3), (2, 4, 4, 3), (2, 4, 4, 3)]
    return tuple(
        Latent(jnp.zeros(shape), jnp.asarray(rng.uniform(0, 1, shape), jnp.float32))
        for shape in shapes
    )


def test_balancing_charges_layers_by_their_rate_for_their_size():
    rates = np.asarray(layer_rates(latents()))
    gamma = (rates.mean(axis=0) + 0.01) / np.array([4, 16 / 2, 16 / 2])
    gamma /= gamma.mean()
    np.testing.assert_allclose(
        elbo.balanced_rate(latents()), (rates * gamma).sum(axis=1), rtol=1e-5
    )
    # No gradient goes through the coefficients.
    first, *rest = latents()
    gradient = jax.grad(lambda kl: elbo.balanced_rate((Latent(first.z, kl), *rest)).sum())
    np.testing.assert_allclose(gradient(first.kl), gamma[0], rtol=1e-5)


def test_padding_does_not_balance():
    padded = tuple(Latent(layer.z, layer.kl.at[1].set(99.0)) for layer in latents())
    mask = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(
        elbo.balanced_rate(latents(), mask)[0], elbo.balanced_rate(padded, mask)[0], rtol=1e-6
    )


@pytest.mark.parametrize(
    "settings",
    [dict(balance=True, free_bits=1.0), dict(unit="pixel"), dict(spectral=dict(name="steep"))],
)
def test_what_cannot_be_is_one_line(settings):
    with pytest.raises(ConfigError, match="objective"):
        elbo.create(settings)


def test_a_geometric_schedule_multiplies():
    weight = schedules.create(
        dict(name="geometric", start=1.0, end=1e-2, steps=100, begin=10), where="w"
    )
    np.testing.assert_allclose(
        [weight(step) for step in (0, 10, 60, 110, 500)], [1, 1, 0.1, 0.01, 0.01], rtol=1e-5
    )


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
    # From below, and better at each step: each goes on where the last one ended.
    assert estimates == sorted(estimates) or np.ptp(estimates[-5:]) < 1e-4
    assert estimates[0] <= float(expected) + 1e-4
    np.testing.assert_allclose(estimates[-1], expected, rtol=1e-4)
    for name in ("last.kernel", "convs.0.kernel", "convs.1.log_norm"):
        np.testing.assert_allclose(gradients[name], wanted[name], atol=2e-2, err_msg=name)
    np.testing.assert_array_equal(gradients["norm.scale"].sum(), 1.0)
    (few, _), _ = penalty(params, model_state, False)
    assert float(few) <= estimates[0], "the first step takes more rounds"
