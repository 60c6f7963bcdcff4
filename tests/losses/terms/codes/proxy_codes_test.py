"""Proxy codes: the cross-entropy of a frozen tokenizer's indices, which must fit the model's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.errors import ConfigError
from pipeline.core.types import Latent, Outputs
from pipeline.losses.terms.codes.proxy_codes import proxy_codes

CODES, SIDE = 4, 2


class Tokenizer(nnx.Module):
    """The brightness of each quarter of an image, of CODES levels."""

    def __init__(self):
        self.scale = nnx.Param(jnp.ones(()))

    def encode(self, images):
        b, h, _, _ = images.shape
        grey = images.reshape(b, SIDE, h // SIDE, SIDE, h // SIDE, -1).mean(axis=(2, 4, 5))
        indices = jnp.round((grey * self.scale[...] + 1) / 2 * (CODES - 1)).astype(jnp.int32)
        return (Latent(grey, grey, indices=indices, num_codes=CODES),)


def term():
    modeldef, arrays, _ = parameters.split(Tokenizer())
    return proxy_codes(codec="folder", load_codec=lambda path: (modeldef, arrays))


def test_the_value_is_the_mean_cross_entropy_of_the_tokenizers_indices():
    found = term()
    levels = np.array([[0, 3, 1, 2], [3, 3, 0, 0]]).reshape(2, SIDE, SIDE)
    grey = np.round(levels / (CODES - 1) * 255).repeat(4, axis=1).repeat(4, axis=2)
    batch = {"image": jnp.asarray(np.stack([grey] * 3, axis=-1), jnp.uint8)}
    logits = jax.random.normal(jax.random.key(0), (2, SIDE, SIDE, CODES))

    @jax.jit
    def value(logits, frozen):
        return found.value(Outputs(None, (), {"proxy_logits": logits}), batch, 0, frozen)

    chosen = np.take_along_axis(np.asarray(jax.nn.softmax(logits)), levels[..., None], axis=-1)
    expected = -np.log(chosen).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(value(logits, dict(found.frozen)), expected, rtol=1e-5)
    uniform = value(jnp.zeros_like(logits), dict(found.frozen))
    np.testing.assert_allclose(uniform, np.log(CODES), rtol=1e-6)
    with pytest.raises(ConfigError, match=r"has 4 codes at \[2, 2\] positions, and the model pre"):
        value(logits[..., :3], dict(found.frozen))
