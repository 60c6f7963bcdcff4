"""Values and gradients of stochastic quantisation agree with SQ-VAE's equations in torch.

The equations come from arXiv 2205.07547.
"""

import math

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402

from pipeline.bottlenecks.stochastic_quantizer import StochasticQuantizer, commitment_loss  # noqa: E402

NUM_CODES, DIM, BATCH, SIDE, TEMPERATURE = 64, 16, 3, 4, 0.5

pytestmark = pytest.mark.parity


def of_torch(vectors, codes, variance, noise):
    """Return the loss and the relaxed codes.

    The loss is minus the entropy plus the squared gap, summed over positions, averaged over the
    batch.
    """
    squares = (vectors[..., None, :] - codes).square().sum(-1)
    logits = -squares / (2 * variance)
    q = torch.distributions.Categorical(logits=logits)
    z = torch.softmax((logits + noise) / TEMPERATURE, -1) @ codes
    return (-q.entropy().sum() + (vectors - z).square().sum() / (2 * variance)) / BATCH, z


def of_jax(quantizer, vectors, key):
    latent = quantizer(vectors, key, TEMPERATURE)
    entropy = latent.kl.sum() / BATCH - SIDE**2 * math.log(NUM_CODES)
    return (
        entropy
        + commitment_loss(vectors, latent.z, quantizer.variance()).mean()
        + jnp.square(latent.z).mean()
    )


@pytest.mark.parametrize("variance", [20.0, 1.0])
def test_values_and_gradients_are_those_of_torch(variance):
    quantizer, key = (
        StochasticQuantizer(
            num_codes=NUM_CODES, latent_channels=DIM, variance=variance, key=jax.random.key(0)
        ),
        jax.random.key(7),
    )
    vectors = np.random.default_rng(0).normal(size=(BATCH, SIDE, SIDE, DIM)).astype(np.float32)
    noise = torch.tensor(np.array(jax.random.gumbel(key, (BATCH, SIDE, SIDE, NUM_CODES))))
    inputs = [
        torch.tensor(np.array(x), requires_grad=True)
        for x in (vectors, quantizer.codebook[...], variance)
    ]
    terms, z = of_torch(inputs[0], inputs[1], inputs[2], noise)
    loss = terms + z.square().mean()
    loss.backward()
    value, (of_quantizer, of_vectors) = nnx.value_and_grad(of_jax, argnums=(0, 1))(
        quantizer, jnp.asarray(vectors), key
    )
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)
    ours = (of_vectors, of_quantizer.codebook[...], of_quantizer.log_variance[...] / variance)
    for mine, theirs in zip(ours, inputs):
        theirs = theirs.grad.numpy()
        np.testing.assert_allclose(mine, theirs, atol=2e-5 * np.abs(theirs).max())
