"""Tensors whose layout leaves their storage are refused; tests/parity reads torch's own files."""

import numpy as np
import pytest
from hostile_inputs.weights import LAYOUTS

from pipeline.formats.torch_pickle import _Storage, _Tensor


@pytest.mark.parametrize("offset, size, stride", LAYOUTS)
def test_tensors_outside_of_their_storage_are_refused(offset, size, stride):
    storage = _Storage("<f4", np.zeros(10, np.float32))
    with pytest.raises(ValueError, match="a tensor"):
        _Tensor(storage, offset, size, stride).array()
    with pytest.raises(ValueError, match="storage is missing"):
        _Tensor(_Storage("<f4", None), 0, (1,), (1,)).array()


def test_a_tensor_may_repeat_and_transpose_its_storage():
    storage = _Storage("<f4", np.arange(6, dtype=np.float32))
    expected = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(_Tensor(storage, 0, (3, 2), (1, 3)).array(), expected.T)
    np.testing.assert_array_equal(_Tensor(storage, 4, (2, 3), (0, 0)).array(), np.full((2, 3), 4))
    assert _Tensor(storage, 6, (0, 4), (4, 1)).array().shape == (0, 4)
