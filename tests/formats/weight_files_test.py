"""Files of weights are read from disks and buckets alike."""

import numpy as np
import pytest
import safetensors.numpy

from pipeline.core.errors import DataError
from pipeline.formats import weight_files


def test_weights_are_read_from_a_bucket(remote):
    file = remote / "vgg.safetensors"
    file.write_bytes(safetensors.numpy.save({"a": np.arange(3)}))
    np.testing.assert_equal(weight_files.load(str(file)), {"a": np.arange(3)})
    file.write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"^{file} is not a .safetensors file of weights"):
        weight_files.load(str(file))
    with pytest.raises(DataError, match=r"none\.pth: there is no such file"):
        weight_files.load(str(remote / "none.pth"))
