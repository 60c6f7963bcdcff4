"""Files of weights are read from disks and buckets alike."""

import zipfile

import numpy as np
import pytest
import safetensors.numpy

from pipeline.core.errors import DataError
from pipeline.formats import state_dict, weight_files


@pytest.mark.parametrize("ending", [".jit", ".pt"])
def test_a_program_of_torchscript_is_refused_in_one_line(tmp_path, ending):
    file = tmp_path / f"autoencoder{ending}"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"autoencoder/{name}", b"")
    with pytest.raises(DataError, match="TorchScript program, which is not run: give a") as error:
        weight_files.load(str(file))
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="TorchScript program, which is not run: give a"):
        state_dict.load(str(file))


def test_weights_are_read_from_a_bucket(remote):
    file = remote / "vgg.safetensors"
    file.write_bytes(safetensors.numpy.save({"a": np.arange(3)}))
    np.testing.assert_equal(weight_files.load(str(file)), {"a": np.arange(3)})
    file.write_bytes(b"damaged")
    with pytest.raises(DataError, match=f"^{file} is not a .safetensors file of weights"):
        weight_files.load(str(file))
    with pytest.raises(DataError, match=r"none\.pth: there is no such file"):
        weight_files.load(str(remote / "none.pth"))
