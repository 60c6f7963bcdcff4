"""Layers of vision transformers against closed forms and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.nn.init import layer_factory
from pipeline.nn.norm import LayerNorm
from pipeline.nn.tokens import learned_positions, rotary
from pipeline.nn.tokens.attention import Attention
from pipeline.nn.tokens.attention_pool import AttentionPool
from pipeline.nn.tokens.bicubic import bicubic
from pipeline.nn.tokens.block import Block
from pipeline.nn.tokens.extra_tokens import ExtraTokens
from pipeline.nn.tokens.layer_scale import LayerScale
from pipeline.nn.tokens.linear import Linear
from pipeline.nn.tokens.mlp import MLP, quick_gelu, tanh_gelu
from pipeline.nn.tokens.patches import from_patches, to_patches
from pipeline.nn.tokens.sincos import sincos_grid
from pipeline.nn.tokens.swiglu import SwiGLU


@pytest.fixture
def make():
    return layer_factory(jax.random.key(0), jnp.float32)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(1), (2, 7, 8))


def test_patches_are_rows_and_come_back():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    patches = to_patches(jnp.asarray(x, jnp.float32), 2)
    np.testing.assert_array_equal(patches[1, 0, 2], x[1, :2, 4:].reshape(-1))
    np.testing.assert_array_equal(from_patches(patches, 2), x)


def test_rotary_scores_depend_on_the_offset_of_patches_only(make):
    # Two by two patches of a larger image: equal offsets have equal scores.
    turns = rotary.turns(4, 4, 8)
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))
    queries, keys = (rotary.turned(jnp.tile(each, (1, 16, 1, 1)), turns) for each in (query, key))
    scores = jnp.einsum("bqhc,bkhc->qk", queries, keys).reshape(4, 4, 4, 4)
    np.testing.assert_allclose(scores[0, 0, 1, 2], scores[2, 1, 3, 3], rtol=1e-4)
    assert abs(scores[0, 0, 1, 2] - scores[0, 0, 2, 1]) > 1e-3
    # A rotation keeps lengths, and other tokens are left alone.
    np.testing.assert_allclose(jnp.linalg.norm(queries[0], axis=-1), np.linalg.norm(query), 1e-5)
    longer = rotary.turned(jnp.tile(query, (1, 18, 1, 1)), turns)
    np.testing.assert_array_equal(longer[:, :2], jnp.tile(query, (1, 2, 1, 1)))
    np.testing.assert_array_equal(longer[:, 2:], queries)


def test_attention_of_equal_keys_is_the_mean_of_values(make, x):
    layer = Attention(8, 2, make=make)
    layer.key.kernel[...] = jnp.zeros((8, 8))
    expected = layer.out(jnp.broadcast_to(layer.value(x).mean(axis=1, keepdims=True), x.shape))
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)


def test_a_block_whose_scales_are_zero_is_the_identity(make, x):
    norms = LayerNorm(8), LayerNorm(8)
    scales = LayerScale(8, start=0.0), LayerScale(8, start=0.0)
    block = Block(Attention(8, 2, make=make), SwiGLU(8, 12, make=make), norms=norms, scales=scales)
    np.testing.assert_array_equal(block(x), x)


def test_feed_forward_layers(make, x):
    gated = SwiGLU(8, 12, make=make)
    expected = gated.down(jax.nn.silu(gated.gate(x)) * gated.up(x))
    np.testing.assert_array_equal(gated(x), expected)
    gated.up.kernel[...] = jnp.zeros((8, 12))
    np.testing.assert_array_equal(gated(x), jnp.zeros_like(x))
    for activation in (tanh_gelu, quick_gelu):
        plain = MLP(8, 12, activation=activation, make=make)
        np.testing.assert_array_equal(plain(x), plain.back(activation(plain.wide(x))))
        np.testing.assert_allclose(activation(x), jax.nn.gelu(x, approximate=False), atol=0.021)


def test_a_pool_of_one_token_attends_to_it(make, x):
    pool = AttentionPool(8, 2, norm=LayerNorm, mlp=MLP(8, 12, make=make), make=make)
    h = pool.out(pool.value(x[:, :1]))
    np.testing.assert_allclose(pool(x[:, :1]), (h + pool.mlp(pool.norm(h)))[:, 0], atol=1e-6)
    np.testing.assert_allclose(pool(x), pool(x[:, ::-1]), atol=1e-6)


def test_extra_tokens_are_equal_for_all_examples(make):
    tokens = make(ExtraTokens, 4, 8)(3)
    assert tokens.shape == (3, 4, 8)
    np.testing.assert_array_equal(tokens[0], tokens[2])


@pytest.mark.parametrize(
    "resize",
    [learned_positions.plain, learned_positions.with_offset, learned_positions.antialiased],
)
def test_positions_are_the_table_on_their_grid_and_resized_elsewhere(make, resize):
    layer = make(learned_positions.LearnedPositions, 4, 8, others=1, resize=resize)
    np.testing.assert_array_equal(layer(4, 4), layer.table[...])
    # A constant grid stays constant, and the class token keeps its position.
    layer.table[...] = layer.table[...].at[1:].set(0.5)
    larger = layer(6, 3)
    assert larger.shape == (19, 8)
    np.testing.assert_array_equal(larger[0], layer.table[0])
    np.testing.assert_allclose(larger[1:], 0.5, atol=1e-6)


def test_sincos_positions():
    grid = sincos_grid(3, 5, 8)
    assert grid.shape == (3, 5, 8)
    np.testing.assert_allclose(grid[1, 2, :4], [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)])
    np.testing.assert_allclose(grid[1, 2, 4:6], [np.sin(1), np.sin(0.01)])
    np.testing.assert_allclose(sincos_grid(6, 5, 8, extent=3)[4], sincos_grid(3, 5, 8, extent=3)[2])


def test_bicubic_keeps_what_a_cubic_must():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(bicubic(jnp.asarray(x), 5, 6), x)
    # Keys' kernel at a quarter of a pixel from the nearest center, with a = -0.75.
    impulse = np.zeros((9, 1, 1), np.float32)
    impulse[4] = 1
    taps = bicubic(jnp.asarray(impulse), 18, 1)[:, 0, 0]
    a, near, far = -0.75, [0.25, 0.75], [1.25, 1.75]
    inner = [(a + 2) * t**3 - (a + 3) * t**2 + 1 for t in near]
    outer = [a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a for t in far]
    half = [*inner, *outer]
    np.testing.assert_allclose(taps[9:13], half, atol=1e-6)
    np.testing.assert_allclose(taps[5:9], half[::-1], atol=1e-6)


def test_linear_computes_in_its_type(x):
    make = layer_factory(jax.random.key(0), jnp.bfloat16)
    layer = make(Linear, 8, 4)
    assert layer(x).dtype == jnp.bfloat16 and layer.kernel[...].dtype == jnp.float32
    assert make(Linear, 8, 4, bias=False).bias is None
