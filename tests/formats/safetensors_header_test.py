"""Headers of safetensors files: what the format's own reader takes, and nothing that is wrong."""

import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from pipeline.formats import safetensors_header


def written(path, header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(shape=(2,), place=(0, 8), dtype="F32", **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(place)} | more


def test_names_types_and_shapes_are_read(tmp_path):
    arrays = {
        "b": np.zeros((2, 3), np.float32),
        "a": np.asarray(jnp.zeros((3,), jnp.bfloat16)),
        "empty": np.zeros((0, 4), np.int64),
        "flag": np.asarray(True),
    }
    (tmp_path / "x").write_bytes(safetensors.numpy.save(arrays, {"format": "pt"}))
    found = safetensors_header.read(tmp_path / "x")
    assert {name: tuple(each) for name, each in found.items()} == {
        name: (array.dtype.name, array.shape) for name, array in arrays.items()
    }


@pytest.mark.parametrize(
    "header, words",
    [
        (b"[]", "is no object"),
        (b"{ ", "Expecting"),
        (b"\xff\xff", "can't decode"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        ({"a": entry(), "b": entry()}, "'b' overlaps another tensor"),
        ({"a": entry((1,), (0, 4)), "b": entry((1,), (2, 6))}, "'b' overlaps another tensor"),
        ({"a": entry((1,), (4, 8))}, "'a' follows a gap"),
        ({"a": entry((1,), (0, 4))}, "tensors have 4 bytes, and its data 8"),
        ({"a": entry((4,), (0, 16))}, "tensors have 16 bytes, and its data 8"),
        ({"a": entry((3,))}, "'a' has another place than its shape"),
        ({"a": entry((2**40, 2**40))}, "'a' has another place than its shape"),
        ({"a": entry(place=(8, 0))}, "another place"),
        ({"a": entry(place=(0, 8, 8))}, "another place"),
        ({"a": entry((-2,))}, "no valid shape"),
        ({"a": entry((True, 2))}, "no valid shape"),
        ({"a": entry((2.0,))}, "no valid shape"),
        ({"a": entry([1] * 40 + [2])}, "no valid shape"),
        ({"a": entry(dtype="F128")}, "unknown dtype 'F128'"),
        ({"a": entry(dtype=["F32"])}, "unknown dtype"),
        ({"a": {"dtype": "F32"}}, "other keys"),
        ({"a": entry(more=1)}, "other keys"),
        ({"a": None}, "other keys"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, header, words):
    with pytest.raises(ValueError, match=words):
        safetensors_header.read(written(tmp_path / "x", header))


@pytest.mark.parametrize("length", [0, 1, 1000, 2**63])
def test_lengths_that_are_not_the_header_s(tmp_path, length):
    with pytest.raises(ValueError, match="its header would have"):
        safetensors_header.read(written(tmp_path / "x", {}, length=length))
    (tmp_path / "short").write_bytes(b"\1\0\0")
    with pytest.raises(ValueError, match="its header would have"):
        safetensors_header.read(tmp_path / "short")
