"""IV-VAE's convolutions that are causal by groups, and exact chunks of both networks."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.networks.video.iv_vae import Decoder, Encoder, GroupConv
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import convolve_3d


def drawn(*shape: int):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("group", [1, 2, 4])
def test_a_group_sees_the_last_frame_before_it_and_zeros_behind_it(group):
    conv = GroupConv(3, 2, group, key=jax.random.key(0), dtype=jnp.float32)
    x = drawn(2, 9, 4, 4, 3)
    padded = jnp.concatenate([x[:, :1], x], axis=1)
    frames = []
    for t in range(9):
        last = t == 0 or t % group == 0  # of its group; frame 0 is a group of its own
        behind = jnp.zeros_like(x[:, :1]) if last else x[:, t + 1 : t + 2]
        seen = jnp.concatenate([padded[:, t : t + 2], behind], axis=1)
        frames.append(convolve_3d(seen, conv.kernel[...], (1, 1, 1), conv.bias[...]))
    np.testing.assert_allclose(conv(x), jnp.concatenate(frames, axis=1), atol=1e-5)


@pytest.mark.parametrize("kind, frames, chunk", [(Encoder, 9, 4), (Decoder, 3, 1)])
def test_chunks_of_whole_latents_are_exact(kind, frames, chunk):
    same: Any = dict(rngs=nnx.Rngs(0), num_blocks=1)
    network = kind(in_channels=2, out_channels=2, width=8, **same)
    x = drawn(1, frames, *((16, 16) if kind is Encoder else (2, 2)), 2)

    @nnx.jit
    def chunked(network, x):
        parts, arrays = [], None
        for start, stop in ((0, 1), *((i, i + chunk) for i in range(1, frames, chunk))):
            cache = CausalCache(arrays)
            y, _ = network(x[:, start:stop], cache=cache)
            parts.append(y)
            arrays = cache.arrays()
        return jnp.concatenate(parts, axis=1), parts[0]

    whole = nnx.jit(lambda network, x: network(x)[0])(network, x)
    parts, first = chunked(network, x)
    # The norms of pixels that are nearly 0 enlarge roundings.
    np.testing.assert_allclose(parts, whole, atol=1e-4)
    np.testing.assert_allclose(first, whole[:, :1], atol=1e-4)
