"""Quantizers give the codes, vectors and moving averages of vector-quantize-pytorch.

Its rotation trick is on by default and is compared apart. Its moving averages start from counts of
1 and are not divided by their weight: ours are given the weight 1, which decays to 1. Its FSQ
stretches the range by 1 + eps where the paper shrinks it by 1 - eps, so that elements within 0.01
of the middle between two levels may differ; its LFQ has the first element as the highest bit.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")
theirs = pytest.importorskip("vector_quantize_pytorch", reason="needs the parity extra")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402

from pipeline.bottlenecks.fsq import FSQ  # noqa: E402
from pipeline.bottlenecks.lfq import LFQ  # noqa: E402
from pipeline.bottlenecks.residual_vq import ResidualVQ  # noqa: E402
from pipeline.bottlenecks.vq import VQ  # noqa: E402

pytestmark = pytest.mark.parity
DIM, CODES, BATCH, POSITIONS, DECAY, LEVELS = 6, 32, 4, 25, 0.8, 3
EMA = dict(name="moving_average.MovingAverage", decay=DECAY, smoothing=1e-5)
PLAIN = dict(rotation_trick=False, decay=DECAY, eps=1e-5, threshold_ema_dead_code=0)


def vectors(seed=0, dim=DIM):
    return np.random.default_rng(seed).normal(size=(BATCH, POSITIONS, dim)).astype(np.float32)


def give_codes(codebook, quantizer):
    """Set our moving averages to theirs, without a bias to take out."""
    source = quantizer._codebook
    for ours, name in (("codes", "embed"), ("counts", "cluster_size"), ("sums", "embed_avg")):
        getattr(codebook, ours)[...] = jnp.asarray(getattr(source, name)[0].numpy())
    codebook.weight[...] = jnp.ones(())


def check_codebook(codebook, quantizer):
    source = quantizer._codebook
    for ours, name in (("counts", "cluster_size"), ("sums", "embed_avg"), ("codes", "embed")):
        array = getattr(codebook, ours)[...]
        np.testing.assert_allclose(
            array, getattr(source, name)[0], rtol=1e-4, atol=1e-5, err_msg=name
        )


def learned(quantizer, x):
    """Return indices, vectors and the gradient of a weighted sum of them, after a training step."""
    weights = jnp.asarray(vectors(9))

    @jax.jit
    def step(state, x):
        ours = nnx.merge(graph, state)
        latent, _ = ours.learn(x, None)
        return latent.indices, latent.z, nnx.state(ours)

    def total(x, state):
        return (nnx.merge(graph, state)(x).z * weights).sum()

    graph, state = nnx.split(quantizer)
    gradient = jax.jit(jax.grad(total))(x, state)
    indices, z, after = step(state, x)
    nnx.update(quantizer, after)
    return np.asarray(indices), np.asarray(z), np.asarray(gradient)


@pytest.mark.parametrize("gradient", ["straight_through", "rotation"])
def test_vq_with_moving_averages(gradient):
    torch.manual_seed(0)
    settings = PLAIN | {"rotation_trick": gradient == "rotation"}
    reference = theirs.VectorQuantize(dim=DIM, codebook_size=CODES, **settings).train()
    # One code is far from all vectors, so that it is never chosen.
    reference._codebook.embed[0, 0] = 50.0
    reference._codebook.embed_avg.copy_(reference._codebook.embed)
    ours = VQ(
        latent_channels=DIM, num_codes=CODES, codebook=EMA, gradient=gradient, key=jax.random.key(0)
    )
    give_codes(ours.codebook, reference)
    for seed in range(2):
        x = torch.tensor(vectors(seed), requires_grad=True)
        quantized, index, _ = reference(x)
        (quantized * torch.tensor(vectors(9))).sum().backward()
        indices, z, of_x = learned(ours, jnp.asarray(vectors(seed)))
        np.testing.assert_array_equal(indices, index.numpy())
        np.testing.assert_allclose(z, quantized.detach(), atol=1e-5)
        np.testing.assert_allclose(of_x, x.grad, rtol=1e-4, atol=1e-5)
        check_codebook(ours.codebook, reference)


def test_residual_vq():
    torch.manual_seed(1)
    reference = theirs.ResidualVQ(
        dim=DIM, codebook_size=CODES, num_quantizers=LEVELS, **PLAIN
    ).train()
    ours = ResidualVQ(
        latent_channels=DIM,
        num_codes=CODES,
        levels=LEVELS,
        shared=False,
        codebook=EMA,
        key=jax.random.key(0),
    )
    for codebook, layer in zip(ours.codebooks, reference.layers, strict=True):
        give_codes(codebook, layer)
    quantized, index, _ = reference(torch.tensor(vectors()))
    indices, z, _ = learned(ours, jnp.asarray(vectors()))
    np.testing.assert_array_equal(indices, index.numpy())
    np.testing.assert_allclose(z, quantized.detach(), atol=1e-5)
    for codebook, layer in zip(ours.codebooks, reference.layers, strict=True):
        check_codebook(codebook, layer)


def test_fsq():
    levels = (8, 5, 5, 5)
    ours, x = FSQ(latent_channels=4, levels=levels), 2 * vectors(dim=4)
    quantized, index = theirs.FSQ(list(levels))(torch.tensor(x))
    latent = jax.jit(ours)(x)
    fraction = np.mod(np.asarray(ours.bound(jnp.asarray(x))), 1)
    clear = (np.abs(fraction - 0.5) > 0.01).all(axis=-1)
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(np.asarray(latent.indices)[clear], index.numpy()[clear])
    np.testing.assert_allclose(np.asarray(latent.z)[clear], quantized.numpy()[clear], atol=1e-6)


def test_lfq():
    ours, x = LFQ(latent_channels=DIM), vectors()
    reference = theirs.LFQ(codebook_size=2**DIM, dim=DIM).eval()
    quantized, index, _ = reference(torch.tensor(x))
    latent = jax.jit(ours)(x)
    np.testing.assert_array_equal(latent.z, quantized.numpy())
    bits = (index.numpy()[..., None] >> np.arange(DIM - 1, -1, -1)) & 1
    np.testing.assert_array_equal(latent.indices, (bits << np.arange(DIM)).sum(axis=-1))
