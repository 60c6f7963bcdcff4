"""Every codebook in pipeline/codebooks keeps the contract."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.construct import modules_of
from pipeline.quantization.nearest import nearest

MODULES = modules_of("pipeline.codebooks")
NUM_CODES, DIM = 6, 3


def class_of(module: str) -> type:
    found = importlib.import_module(f"pipeline.codebooks.{module}")
    classes = [value for value in vars(found).values() if inspect.isclass(value)]
    (codebook,) = [
        c for c in classes if issubclass(c, nnx.Module) and c.__module__ == found.__name__
    ]
    return codebook


@pytest.mark.parametrize("module", MODULES)
def test_a_codebook_gives_codes_and_follows_vectors(module):
    codebook = class_of(module)(num_codes=NUM_CODES, dim=DIM, key=jax.random.key(0))
    codes = codebook()
    assert codes.shape == (NUM_CODES, DIM) and codes.dtype == jnp.float32
    assert len(np.unique(codes, axis=0)) == NUM_CODES
    _, params, rest = parameters.split(codebook)
    x = jax.random.normal(jax.random.key(1), (2, 4, DIM))
    codebook.follow(x, nearest(x, codes), jax.random.key(2))
    _, after, _ = parameters.split(codebook)
    jax.tree.map(np.testing.assert_array_equal, after, params)
    # Codes learn from a gradient, or by following.
    gradient = jax.grad(lambda params: _codes(codebook, params, rest).sum())(params)
    moved = not np.array_equal(codebook(), codes)
    assert moved != any(np.abs(each).max() > 0 for each in gradient.values())


def _codes(codebook, params, rest):
    return parameters.split(codebook)[0].merge(params, rest)()
