"""Limits on settings and models that strangers wrote."""

import threading

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from pipeline.core import bounds, parameters
from pipeline.core.errors import CheckpointError


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"a": {"num_blocks": 8_193}}, "here: a.num_blocks is 8,193, and 8,192 is the most"),
        ({"width": -(10**400)}, "width is a number of more than 18 digits"),
        ({"channels": [64, 2**20]}, "channels is 1,048,576"),
        ({"num_codes": 2**20 + 1}, "num_codes is 1,048,577"),
        ({"a": [[0] * 4_097]}, "a has 4,097 items"),
        ({"a": [[0] * 4_096 for _ in range(5)]}, "has more than 20,000 settings"),
        ({"blocks": "8x70000"}, "blocks is '8x70000', with numbers that add to more"),
        ({"blocks": "8x" + "9" * 5_000}, "with numbers that add to more"),
        ({"blocks": "8x9000," * 20}, "with numbers that add to more"),
        ({"name": "a" * 70_000}, "name has 70,000 letters"),
    ],
)
def test_sizes_that_no_model_has(settings, words):
    with pytest.raises(CheckpointError, match=words):
        bounds.check(settings, "here")


def test_nesting_is_bounded():
    deep: dict = {}
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(CheckpointError, match="nested more than 32 deep"):
        bounds.check(deep, "here")


def test_sizes_of_models_are_taken():
    blocks = "64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5"
    schedule = dict(name="geometric", start=1.0, end=0.01, steps=460_517)
    bounds.check(dict(enc=blocks, width=4_096, num_codes=262_144, t=schedule, x=None), "here")


def layers(count, size=4):
    made = []

    def create():
        for _ in range(count):
            made.append(nnx.Param(jnp.zeros((size,))))
        return nnx.List(made)

    return create, made


def test_a_construction_stops_at_the_size_of_the_weights():
    limit = bounds.Bounds.of({"a": jax.ShapeDtypeStruct((40,), jnp.float32)})
    assert (limit.tensors, limit.elements) == (1, 40)
    create, made = layers(10**6)
    with (
        pytest.raises(CheckpointError, match="model asks for a larger model than its weights, wh"),
        limit.counted("model"),
    ):
        parameters.abstract(create)
    assert len(made) < 300
    with pytest.raises(CheckpointError, match="1 tensors of 40 numbers"), limit.counted("model"):
        parameters.abstract(layers(1, 2**40)[0])
    with limit.counted("model"):
        parameters.abstract(layers(2, 20)[0])
    assert len(parameters.abstract(layers(300)[0])[1]) == 300  # nothing is counted any more


def test_other_threads_are_not_counted():
    limit = bounds.Bounds(1, 1)
    found = []
    with limit.counted("model"):
        create = layers(400)[0]
        thread = threading.Thread(target=lambda: found.append(parameters.abstract(create)))
        thread.start()
        thread.join()
    assert len(found) == 1
