"""Reads tensors by name from files of torch, safetensors and Keras (HDF5)."""

import os
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from pipeline.core.errors import ConfigError, DataError, one_line
from pipeline.formats import safetensors_header, torch_pickle
from pipeline.storage import transfer

TORCH = (".pth", ".pt", ".th", ".bin")
HDF5 = (".h5", ".hdf5")
SCRIPT = ".jit"


def load(path: str) -> dict[str, np.ndarray]:
    """Return the tensors of a .safetensors, .pth (.pt .th .bin) or .h5 (.hdf5) file.

    The file is local or in a bucket. A torch file is read without torch, and no code in it is run.
    Tensors keep their layout; those of an HDF5 file are named by their path in it.

    Raises:
      DataError: the file is missing, or is not in the format of its extension, or is a program of
        TorchScript.
      ConfigError: the extension is unknown, or h5py is not installed.
    """
    ending = os.path.splitext(path)[1].lower()
    readers: dict[str, Any] = {".safetensors": _load_safetensors}
    readers |= dict.fromkeys(TORCH, torch_pickle.load) | dict.fromkeys(HDF5, _load_hdf5)
    if ending == SCRIPT:
        raise DataError(f"{path}: {torch_pickle.PROGRAM}")
    if ending not in readers:
        raise ConfigError(f"{path} must be a file of weights: {', '.join(readers)}")
    local = transfer.local_copy(path)
    if not local.is_file():
        raise DataError(f"{path}: there is no such file of weights")
    try:
        return readers[ending](os.fspath(local))
    except (*torch_pickle.ERRORS, safetensors.SafetensorError) as error:
        reason = one_line(error)[:120]
        raise DataError(
            f"{path} is not a {ending} file of weights, or is damaged: {reason}"
        ) from None


def _load_safetensors(path: str) -> dict[str, np.ndarray]:
    safetensors_header.read(path)  # before memory is taken for what it says
    return safetensors.numpy.load_file(path)


def _load_hdf5(path: str) -> dict[str, np.ndarray]:
    try:
        import h5py
    except ImportError:
        raise ConfigError(f"reading {path} needs h5py: pip install h5py") from None
    tensors: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: (
                tensors.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None
            )
        )
    return tensors
