"""Published encoders have the published numbers of parameters (computed from shapes alone)."""

import math

import jax
import pytest

from pipeline.core.construct import load
from pipeline.core.parameters import abstract
from pipeline.frozen.encoder import ENCODERS

_LARGE = dict(width=1024, depth=24, heads=16, hidden=4096)
# (family, settings, parameters as transformers counts them without the mask token)
SIZES = [
    ("dinov2", {}, 86_580_480 - 768),
    ("dinov2", _LARGE, 304_368_640 - 1024),
    ("dinov2", dict(registers=4), 86_583_552 - 768),
    ("dinov2", dict(registers=4, **_LARGE), 304_372_736 - 1024),
    ("dinov3", {}, 28_692_864 - 384),
    ("siglip2", {}, 92_930_304),
    ("siglip2", dict(side=32, **_LARGE), 316_742_656),
    ("mae", {}, 85_798_656),
    ("clip", {}, 304_293_888),
]


@pytest.mark.parametrize("name, settings, count", SIZES)
def test_numbers_of_parameters(name, settings, count):
    family = load(ENCODERS, name, where="")
    _, shapes, _ = abstract(lambda: family.create(**settings, key=jax.random.key(0)))
    assert sum(math.prod(each.shape) for each in shapes.values()) == count
