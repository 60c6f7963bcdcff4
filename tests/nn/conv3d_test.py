"""Causal and centred 3-D convolutions: padding, causality and chunks.

This also covers backend/conv3d.py: its CPU lowering and gradients against XLA's.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from pipeline.backend import conv3d, target
from pipeline.core.errors import ConfigError
from pipeline.nn.cache import CausalCache
from pipeline.nn.conv3d import EDGES, CausalConv3d, CentredConv3d

CASES = [
    (3, 1),
    (3, 2),
    ((1, 3, 3), (1, 2, 2)),
    ((1, 3, 3), 1),
    (1, 1),
    (3, (1, 2, 2)),
    ((3, 1, 1), 1),
]


def layer(size, stride, **settings) -> CausalConv3d:
    made = CausalConv3d(2, 3, size, stride=stride, key=jax.random.key(0), **settings)
    made.bias[...] = jax.random.normal(jax.random.key(1), (3,))
    return made


def reference(made: CausalConv3d, x: jax.Array) -> jax.Array:
    """Return XLA's own 3-D convolution of the padded clip."""
    u, v, w = made.kernel.shape[:3]
    before = jnp.repeat(x[:, :1], u - 1, axis=1) * (made.time_padding == "replicate")
    space = [made.space_width] * 2
    if made.space_width is None:
        space = [
            (0, 1) if step == 2 else (size // 2, size // 2)
            for size, step in zip((v, w), made.stride[1:])
        ]
    padded = jnp.pad(jnp.concatenate([before, x], axis=1), [(0, 0), (0, 0), *space, (0, 0)])
    names = ("NDHWC", "DHWIO", "NDHWC")
    out = lax.conv_general_dilated(
        padded, made.kernel[...], made.stride, "VALID", dimension_numbers=names
    )
    return out + made.bias[...]


@pytest.mark.parametrize("size, stride", CASES, ids=str)
@pytest.mark.parametrize("time_padding", ["replicate", "zeros"])
def test_matches_a_convolution_of_the_padded_clip(size, stride, time_padding, monkeypatch):
    if time_padding == "zeros":  # as with many channels, whose taps are convolutions of their own
        monkeypatch.setattr(conv3d, "NARROW", 0)
    made = layer(size, stride, time_padding=time_padding)
    x = jax.random.normal(jax.random.key(2), (2, 5, 6, 8, 2))
    graphdef, params = nnx.split(made)

    @functools.partial(jax.jit, static_argnums=0)
    def output_and_gradients(apply, params, x):
        out, pull = jax.vjp(lambda params, x: apply(nnx.merge(graphdef, params), x), params, x)
        return out, pull(jax.random.normal(jax.random.key(3), out.shape))

    ours, theirs = (
        output_and_gradients(apply, params, x) for apply in (CausalConv3d.__call__, reference)
    )
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)
    for own, other in zip(*(jax.tree.leaves(each[1]) for each in (ours, theirs))):
        np.testing.assert_allclose(own, other, atol=2e-4)


@pytest.mark.parametrize(
    "size, stride, edges, width",
    [
        (3, 1, "replicate", None),
        (3, 1, "reflect", None),
        (3, 2, "zeros", (1, 1)),
        (3, 2, "replicate", (1, 1)),
        ((3, 2, 2), (3, 2, 2), "zeros", (0, 0)),
    ],
)
def test_matches_a_convolution_of_frames_padded_in_space(size, stride, edges, width):
    made = layer(size, stride, space_padding=edges, space_width=width)
    x = jax.random.normal(jax.random.key(2), (2, 7, 6, 8, 2))
    width = width or (1, 1)
    padded = jnp.pad(x, [(0, 0), (0, 0), width, width, (0, 0)], mode=EDGES[edges])
    inner = layer(size, stride, space_width=(0, 0))
    np.testing.assert_allclose(made(x), reference(inner, padded), atol=1e-5)


def test_a_centred_convolution_sees_as_many_frames_ahead_as_back():
    made = CentredConv3d(2, 3, 3, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(2), (1, 5, 4, 4, 2))
    causal = layer(3, 1)
    causal.kernel[...], causal.bias[...] = made.kernel[...], made.bias[...]
    longer = jnp.concatenate([x, x[:, -1:]], axis=1)
    # Of a causal one, the outputs from the second on see the first frame only once in front.
    np.testing.assert_allclose(made(x), causal(longer)[:, 1:], atol=1e-6)


def test_other_backends_lowering_agrees():
    made = layer(3, 2)
    x = jax.random.normal(jax.random.key(2), (1, 7, 4, 4, 2))
    with target.compiling_for("tpu"):
        general = made(x)
    np.testing.assert_allclose(made(x), general, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("plan", [(1, 4, 4, 4), (1, 8, 4), (1, 12), (5, 4, 4), (9, 4)], ids=str)
def test_chunks_match_the_whole_clip(stride, plan):
    made = layer(3, stride)
    x = jax.random.normal(jax.random.key(2), (1, 13, 4, 4, 2))
    ends = list(itertools.accumulate(plan))

    @jax.jit
    def in_chunks_and_whole(x):
        cache, parts = None, []
        for start, end in zip([0, *ends], ends):
            cache = CausalCache(cache)
            parts.append(made(x[:, start:end], cache))
            cache = cache.arrays()
        return jnp.concatenate(parts, axis=1), made(x)

    np.testing.assert_allclose(*in_chunks_and_whole(x), atol=1e-6)


def test_no_frame_depends_on_a_later_one():
    made = layer(3, 1)
    x = jax.random.normal(jax.random.key(2), (1, 5, 4, 4, 2))
    seen = jax.grad(lambda x: made(x)[:, 2].sum())(x)
    assert (
        float(jnp.abs(seen[:, 3:]).max()) == 0
        and float(jnp.abs(seen[:, :3]).min(axis=(0, 2, 3, 4)).max()) > 0
    )


def test_zero_padding_leaves_only_the_last_tap_for_a_single_frame():
    made = layer(3, 1, time_padding="zeros")
    x = jax.random.normal(jax.random.key(2), (1, 1, 4, 4, 2))
    last = CausalConv3d(2, 3, (1, 3, 3), key=jax.random.key(0))
    last.kernel[...], last.bias[...] = made.kernel[2:], made.bias[...]
    np.testing.assert_allclose(made(x), last(x), atol=1e-6)


def test_a_cache_of_another_network_is_an_error():
    cache = CausalCache([jnp.zeros((1, 2, 4, 4, 2))] * 2)
    layer(3, 1)(jnp.zeros((1, 4, 4, 4, 2)), cache)
    with pytest.raises(ValueError, match="1 arrays of the cache were not used"):
        cache.arrays()


def test_unknown_padding_is_a_config_error():
    with pytest.raises(ConfigError, match="replicate, first_frame, zeros"):
        layer(3, 1, time_padding="mirror")


def test_unknown_edges_are_a_config_error():
    with pytest.raises(ConfigError, match="zeros, replicate, reflect"):
        layer(3, 1, space_padding="mirror")


def test_first_frame_is_a_synonym_of_replicate_and_space_is_zero_padded():
    x = jax.random.normal(jax.random.key(2), (1, 3, 4, 4, 2))
    one, other = (layer(3, 1, time_padding=name) for name in ("replicate", "first_frame"))
    np.testing.assert_array_equal(one(x), other(x))
    assert float(jnp.abs(layer(3, 1, time_padding="zeros")(x) - one(x)).max()) > 0.1
    # For a constant frame the border differs from the middle.
    still = other(jnp.ones((1, 1, 4, 4, 2)))[0, 0]
    assert float(jnp.abs(still[0, 0] - still[1, 1]).max()) > 0.01


@pytest.mark.parametrize(
    "before, frames, message",
    [(0, 4, r"the first chunk has 1 \+ k \* 2"), (5, 3, r"later chunks have k \* 2")],
)
def test_a_number_of_frames_that_the_stride_cannot_cover_is_an_error(before, frames, message):
    made, cache = layer(3, 2), None
    if before:
        cache = CausalCache()
        made(jnp.zeros((1, before, 4, 4, 2)), cache)
        cache = cache.arrays()
    with pytest.raises(ValueError, match=rf"stride 2 in time got {frames} frames: {message}"):
        jax.eval_shape(lambda x: made(x, CausalCache(cache)), jnp.zeros((1, frames, 4, 4, 2)))


def test_a_kernel_shorter_than_its_stride_is_a_config_error():
    with pytest.raises(ConfigError, match="kernel of 1 frames"):
        layer(1, (2, 1, 1))
