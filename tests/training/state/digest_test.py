"""A digest is the same for every layout of a state, and differs for any other bit or name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_state import make_state

from pipeline.training.state.digest import state_digest
from pipeline.training.state.state_tree import to_tree


def test_sharding_and_device_do_not_matter():
    digests = {state_digest(make_state(1, devices=devices)) for devices in (1, 2, 8)}
    digests.add(state_digest(jax.device_get(make_state(1))))
    digests.add(state_digest(to_tree(make_state(1))))
    assert len(digests) == 1 and len(digests.pop()) == 64


def test_the_order_of_names_does_not_matter():
    a, b = np.arange(3), np.ones(2, np.float32)
    assert state_digest({"a": a, "b": b}) == state_digest({"b": b, "a": a})


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.array([[0, 1], [2, 4]], np.int32)},
        {"a": np.array([[0, 1], [2, 3]], np.uint32)},
        {"a": np.array([0, 1, 2, 3], np.int32)},
        {"a": np.array([[0, 2], [1, 3]], np.int32)},
        {"b": np.array([[0, 1], [2, 3]], np.int32)},
        {"a": np.array([[0, 1], [2, 3]], np.int32), "b": np.zeros(0, np.int32)},
    ],
)
def test_every_difference_changes_the_digest(other):
    assert state_digest(other) != state_digest({"a": np.array([[0, 1], [2, 3]], np.int32)})


def test_bits_are_compared_and_not_values():
    assert state_digest({"a": np.float32(0.0)}) != state_digest({"a": np.float32(-0.0)})
    nan = np.array([np.nan], np.float32)
    assert state_digest({"a": nan}) == state_digest({"a": nan.copy()})


def test_layout_and_byte_order_do_not_matter():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = state_digest({"a": array})
    assert state_digest({"a": np.asfortranarray(array)}) == expected
    assert state_digest({"a": array.astype(">f4")}) == expected


def test_bfloat16():
    array = jnp.arange(4, dtype=jnp.bfloat16)
    assert state_digest({"a": array}) == state_digest({"a": np.asarray(array)})
    assert state_digest({"a": array}) != state_digest({"a": array.astype(jnp.float16)})
