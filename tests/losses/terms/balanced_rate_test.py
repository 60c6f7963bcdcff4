import jax
import jax.numpy as jnp
import numpy as np

from pipeline.core.reduce import layer_rates
from pipeline.core.types import Latent, Outputs
from pipeline.losses.terms.balanced_rate import balance, balanced_rate
from pipeline.losses.terms.rate import total_rate


def latents() -> tuple[Latent, ...]:
    """Return one layer of 2x2 positions and two of 4x4, for 2 examples."""
    rng = np.random.default_rng(0)
    shapes = [(2, 2, 2, 3), (2, 4, 4, 3), (2, 4, 4, 3)]
    return tuple(
        Latent(jnp.zeros(shape), jnp.asarray(rng.uniform(0, 1, shape), jnp.float32))
        for shape in shapes
    )


def test_layers_pay_by_their_rate_and_their_size():
    rates = np.asarray(layer_rates(latents()))
    gamma = (rates.mean(axis=0) + 0.01) / np.array([4, 16 / 2, 16 / 2])
    gamma /= gamma.mean()
    np.testing.assert_allclose(balance(latents()), (rates * gamma).sum(axis=1), rtol=1e-5)
    # No gradient flows through the coefficients.
    first, *rest = latents()
    gradient = jax.grad(lambda kl: balance((Latent(first.z, kl), *rest)).sum())
    np.testing.assert_allclose(gradient(first.kl), gamma[0], rtol=1e-5)


def test_padding_does_not_count():
    padded = tuple(Latent(layer.z, layer.kl.at[1].set(99.0)) for layer in latents())
    mask = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(balance(latents(), mask)[0], balance(padded, mask)[0], rtol=1e-6)


def test_balancing_ends_when_the_weight_reaches_one():
    outputs = Outputs(None, latents())
    term = balanced_rate(weight=lambda step: jnp.minimum(1.0, step / 10))
    balanced, plain = balance(latents()), total_rate(latents())
    np.testing.assert_array_equal(term.value(outputs, {}, 9, {}), balanced)
    np.testing.assert_array_equal(term.value(outputs, {}, 10, {}), plain)
    assert not np.allclose(balanced, plain)
