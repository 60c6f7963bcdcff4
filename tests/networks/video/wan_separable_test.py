"""A small network of Wan's form: its size, its shapes and its causality."""

import pathlib
import runpy

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pipeline.core import parameters
from pipeline.networks.video import wan, wan_separable
from pipeline.nn.cache import CausalCache

SMALL = dict(in_channels=2, out_channels=3, channels=(2, 4, 4, 4), num_blocks=1)


def sizes(network, **settings) -> dict[str, int]:
    same = dict(in_channels=16, out_channels=3) | settings
    _, params, _ = parameters.abstract(lambda: network(**same, rngs=nnx.Rngs(0)))
    return {name: int(np.prod(array.shape)) for name, array in params.items()}


def test_blocks_are_smaller_and_all_else_is_wans():
    own, whole = sizes(wan_separable.Decoder), sizes(wan.Decoder)
    convs = (".conv1.", ".conv2.")
    others = {name: size for name, size in own.items() if not any(c in name for c in convs)}
    assert others == {n: size for n, size in whole.items() if not any(c in n for c in convs)}
    # Pairs of widths of the convolutions in blocks: two blocks in the middle, 3 a level.
    pairs = 10 * [(384, 384)] + [(192, 384)] + 5 * [(384, 384)]
    pairs += 6 * [(192, 192)] + 6 * [(96, 96)]
    expected = sum(27 * i + i + i * o + o for i, o in pairs)
    assert sum(own.values()) - sum(others.values()) == expected
    expected = sum(27 * i * o + o for i, o in pairs)
    assert sum(whole.values()) - sum(others.values()) == expected
    assert (sum(own.values()), sum(whole.values())) == (6_897_123, 73_295_331)


def test_the_decoder_of_the_recipe_has_the_size_that_it_states():
    path = pathlib.Path(__file__).parents[3] / "configs/distill/turbo_video.py"
    found = runpy.run_path(str(path))
    settings = found["get_config"]().model.decoder.to_dict()
    assert settings.pop("name") == "video.wan_separable.Decoder"
    assert (
        f"{sum(sizes(wan_separable.Decoder, **settings).values()):,} parameters" in found["__doc__"]
    )


def test_a_decoder_is_causal_and_gives_a_clip_chunk_by_chunk():
    decoder = wan_separable.Decoder(**SMALL, rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(1), (1, 3, 2, 3, 2))

    @jax.jit
    def both(z):
        cache = CausalCache()
        head, _ = decoder(z[:, :1], cache=cache)
        tail, _ = decoder(z[:, 1:], cache=CausalCache(cache.arrays()))
        return decoder(z)[0], jnp.concatenate([head, tail], axis=1)

    clip, chunks = both(z)
    assert clip.shape == (1, 9, 16, 24, 3) and clip.dtype == jnp.float32
    changed, _ = both(z.at[:, 2].add(1.0))
    np.testing.assert_array_equal(changed[:, :5], clip[:, :5])
    assert np.abs(changed[:, 5:] - clip[:, 5:]).max(axis=(0, 2, 3, 4)).min() > 0
    np.testing.assert_allclose(chunks, clip, atol=2e-5)
