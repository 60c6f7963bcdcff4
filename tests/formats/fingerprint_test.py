import ml_dtypes
import numpy as np

from pipeline.formats.fingerprint import fingerprint_of


def test_names_types_shapes_and_values_count_and_order_does_not():
    a, b = np.arange(6, dtype=np.float32), np.array(2.0, np.float32)
    known = fingerprint_of({"a": a, "b": b})
    assert known == fingerprint_of({"b": b, "a": a}) and len(known) == 64
    assert known == fingerprint_of({"a": np.arange(12, dtype=np.float32)[::2] / 2, "b": b})
    changed = (
        {"a": a, "c": b},
        {"a": a.view(np.int32), "b": b},
        {"a": a.reshape(2, 3), "b": b},
        {"a": a + 1, "b": b},
        {"a": a, "b": b.reshape(1)},
    )
    assert len({fingerprint_of(arrays) for arrays in changed} | {known}) == len(changed) + 1


def test_bfloat16_is_supported():
    one = np.ones(3, ml_dtypes.bfloat16)
    assert fingerprint_of({"a": one}) != fingerprint_of({"a": one.view(np.uint16)})
