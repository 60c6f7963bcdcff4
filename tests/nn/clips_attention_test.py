"""Attention over earlier frames: it is the masked one, without a mask, in chunks too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.nn.cache import CausalCache, with_room
from pipeline.nn.clips import causal_attention
from pipeline.nn.clips.causal_attention import CausalAttention
from pipeline.nn.norm import LayerNorm

WIDTH = 6


@pytest.fixture(scope="module")
def attention():
    return CausalAttention(WIDTH, norm=LayerNorm(WIDTH), rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(0), (2, 7, 2, 3, WIDTH))


def masked(attention, x):
    b, t, h, w, c = x.shape
    y = attention.norm(x).reshape(b, t * h * w, c)
    scores = attention.query(y) @ attention.key(y).swapaxes(1, 2) * c**-0.5
    frame = np.arange(t * h * w) // (h * w)
    weights = jax.nn.softmax(jnp.where(frame[:, None] >= frame, scores, -jnp.inf))
    return x + attention.out(weights @ attention.value(y)).reshape(x.shape)


@pytest.mark.parametrize("scores", [1 << 26, 2 * 6 * 21])
def test_it_is_attention_with_a_mask(attention, x, scores, monkeypatch):
    monkeypatch.setattr(causal_attention, "SCORES", scores)  # parts of a frame, and whole ones
    np.testing.assert_allclose(attention(x), masked(attention, x), atol=1e-5)


def test_its_gradient_too(attention, x):
    graph, params = nnx.split(attention)

    def gradients(layer):
        return jax.jit(jax.grad(lambda p, x: (layer(nnx.merge(graph, p), x) ** 3).sum(), (0, 1)))

    theirs = gradients(masked)(params, x)
    ours = gradients(lambda layer, x: layer(x))(params, x)
    largest = max(float(jnp.abs(each).max()) for each in jax.tree.leaves(theirs))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        np.testing.assert_allclose(one, other, atol=1e-5 * largest)


@pytest.mark.parametrize("chunks", [(1, 2, 2, 2), (3, 4)])
def test_chunks_give_the_whole_with_few_programs(attention, x, chunks):
    graph, params = nnx.split(attention)
    places = set()

    def chunk(params, arrays, x):
        cache = CausalCache(arrays)
        return nnx.merge(graph, params)(x, cache), cache.arrays()

    arrays, parts, start = None, [], 0
    for frames in chunks:
        y, arrays = chunk(params, arrays, x[:, start : start + frames])
        arrays, start = with_room(arrays), start + frames
        places.add(arrays[0].frames.shape[1])
        parts.append(y)
        assert int(arrays[0].count) == start
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), attention(x), atol=1e-5)
    assert places <= {1, 2, 4, 8}


def test_its_memory_does_not_grow_with_the_square_of_the_clip(attention):
    frames, pixels = 16, 64
    x = jax.ShapeDtypeStruct((1, frames, 8, 8, WIDTH), jnp.float32)
    compiled = jax.jit(lambda x: attention(x)).lower(x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * (frames * pixels) ** 2 / 4
