"""CausalCache: the context of each chunk, in the order in which layers ask for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.backend.jit import compiler_options
from pipeline.nn.cache import CausalCache, starts_clip, with_context


def frames(*values):
    """Return a clip of one-pixel frames."""
    return jnp.asarray(values, jnp.float32).reshape(1, -1, 1, 1, 1)


def test_chunks_get_the_last_frames_of_the_chunk_before():
    cache = CausalCache()
    first = cache.prepend_context(frames(1), lambda x: jnp.zeros((1, 2, 1, 1, 1)), keep=2)
    np.testing.assert_array_equal(first.ravel(), [0, 0, 1])
    cache = CausalCache(cache.arrays())
    later = cache.prepend_context(frames(2, 3), lambda x: x, keep=2)
    np.testing.assert_array_equal(later.ravel(), [0, 1, 2, 3])
    np.testing.assert_array_equal(cache.arrays()[0].ravel(), [2, 3])


def test_layers_get_their_own_frames_in_the_order_of_calls():
    cache = CausalCache()
    for value in (1, 2):
        cache.prepend_context(frames(value), lambda x: x, keep=1)
    cache = CausalCache(cache.arrays())
    seen = [cache.prepend_context(frames(0), lambda x: x, keep=1).ravel()[0] for _ in range(2)]
    assert [float(value) for value in seen] == [1, 2]


def test_without_a_cache_there_is_the_same_context():
    x = jnp.arange(6.0).reshape(1, 3, 1, 1, 2)
    whole, first = (
        with_context(cache, x, lambda x: -x[:, :2], keep=2) for cache in (None, CausalCache())
    )
    np.testing.assert_array_equal(whole, first)
    np.testing.assert_array_equal(whole[:, :2], -x[:, :2])


def test_chunks_hold_no_maps_but_those_at_hand():
    """What is cached is computed with its layer, and not last: that would hold every map."""
    maps = 8

    def chunk(x, given):
        cache = CausalCache(given)
        for _ in range(maps):
            x = jnp.tanh(x)
            seen = cache.prepend_context(x, lambda x: x[:, :1], keep=1)
            x = jnp.cumsum(seen, axis=3)[:, 1:] + jnp.flip(seen, 2)[:, :-1]
        return x, cache.arrays()

    x = jnp.ones((1, 4, 32, 32, 16))
    cache = (x[:, :1],) * maps
    options = compiler_options("cpu")
    program = jax.jit(chunk, donate_argnums=1).lower(x, cache).compile(compiler_options=options)
    found = program.memory_analysis()
    assert found is not None
    assert found.temp_size_in_bytes < 6 * x.nbytes, "maps of all layers are in memory"


def test_a_layer_may_keep_nothing():
    cache = CausalCache()
    cache.prepend_context(frames(1, 2), lambda x: x[:, :0], keep=0)
    assert cache.arrays()[0].shape[1] == 0


def test_whole_clips_and_first_chunks_start_a_clip():
    assert starts_clip(None) and starts_clip(CausalCache())
    assert not starts_clip(CausalCache([frames(1)]))


def test_unused_arrays_are_an_error():
    with pytest.raises(ValueError, match="1 arrays of the cache were not used"):
        CausalCache([frames(1)]).arrays()
