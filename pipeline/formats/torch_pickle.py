"""Reads state dicts written by torch.save without torch: dicts of CPU tensors, and nothing else.

There are two formats. Since torch 1.6, a file is a zip with data.pkl and one file for each storage.
Before, it was five pickles followed by the storages, as in torchvision's VGG16 and LPIPS's heads.
In both, the pickle refers to storages outside of it. Only names that rebuild tensors are looked up,
so that a file cannot run code.
"""

import collections
import io
import math
import pickle
import zipfile
import zlib
from typing import Any

import ml_dtypes
import numpy as np

# Errors of `load` and `read` for a file of another format, a damaged file, or one with code.
ERRORS = (OSError, ValueError, LookupError, EOFError, AttributeError, TypeError, ArithmeticError)
ERRORS += (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)
ERRORS += (RuntimeError, MemoryError)  # deep nesting, encrypted zips; lengths that are damaged

PROGRAM = "it is a TorchScript program, which is not run: give a diffusers folder or a state dict"
_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_REPEATED = 1 << 24  # elements of a tensor that repeats a smaller storage
_DTYPES = {
    "BFloat16Storage": ml_dtypes.bfloat16,
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def load(path: str) -> dict[str, np.ndarray]:
    """Return the tensors by name; those under the key "state_dict" or "model" if there is one.

    Raises:
      ERRORS: the file has another format, or holds other things than tensors.
    """
    content = read(path)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ValueError("it holds no tensors by name")
    odd = [name for name, array in content.items() if not isinstance(array, np.ndarray)]
    if odd:
        raise ValueError(f"{odd[0]!r} is not a tensor")
    return content


def read(path: str) -> Any:
    """Return the whole content of a file, with arrays in place of tensors. Raises ERRORS."""
    with open(path, "rb") as file:
        return _load_zip(file) if zipfile.is_zipfile(file) else _load_stream(file)


class _Storage:
    """A flat array; available at once from a zip, and after all pickles from a stream."""

    def __init__(self, dtype: Any, data: np.ndarray | None):
        self.dtype, self.data = dtype, data


class _Tensor:
    """The position and layout of a tensor in a storage."""

    def __init__(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self) -> np.ndarray:
        data = self.storage.data
        if data is None:
            raise ValueError("a tensor's storage is missing")
        layout = (self.offset, *self.size, *self.stride)
        if len(self.size) != len(self.stride) or any(
            not isinstance(number, int) or number < 0 for number in layout
        ):
            raise ValueError("a tensor's size or strides are damaged")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride))
        if 0 not in self.size and last >= len(data):
            raise ValueError("a tensor lies outside of its storage")
        if math.prod(self.size) > max(len(data), _MAX_REPEATED):
            raise ValueError("a tensor repeats its storage too often")
        strides = [step * data.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.size, strides).copy()


def _rebuild_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


_KNOWN = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase, storage: Any):
        super().__init__(file, encoding="latin1")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return name
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not a tensor")

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] != "storage":
            raise pickle.UnpicklingError(f"it refers to a {pid[0]}")
        return self._storage(*pid[1:5])


def _load_zip(file: io.BufferedIOBase) -> Any:
    with zipfile.ZipFile(file) as archive:
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise ValueError(PROGRAM)
        (index,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        folder = index.removesuffix("data.pkl")
        storages: dict[str, _Storage] = {}

        def storage(kind: str, key: str, location: str, count: int) -> _Storage:
            if key not in storages:
                data = np.frombuffer(archive.read(f"{folder}data/{key}"), _DTYPES[kind])
                storages[key] = _Storage(_DTYPES[kind], data)
            return storages[key]

        return _arrays(_Unpickler(io.BytesIO(archive.read(index)), storage).load())


def _load_stream(file: io.BufferedIOBase) -> Any:
    file.seek(0)
    storages: dict[str, _Storage] = {}

    def storage(kind: str, key: str, location: str, count: int) -> _Storage:
        return storages.setdefault(key, _Storage(_DTYPES[kind], None))

    if _Unpickler(file, storage).load() != _MAGIC:
        raise ValueError("it does not begin as a torch file")
    for _ in ("protocol", "system"):
        _Unpickler(file, storage).load()
    content = _Unpickler(file, storage).load()
    for key in _Unpickler(file, storage).load():
        dtype = np.dtype(storages[key].dtype)
        count = int.from_bytes(file.read(8), "little")
        raw = file.read(count * dtype.itemsize)
        if len(raw) != count * dtype.itemsize:
            raise EOFError("the file ends within a tensor")
        storages[key].data = np.frombuffer(raw, dtype)
    return _arrays(content)


def _arrays(content: Any) -> Any:
    if isinstance(content, _Tensor):
        return content.array()
    if isinstance(content, dict):
        return {name: _arrays(value) for name, value in content.items()}
    return [_arrays(value) for value in content] if isinstance(content, list | tuple) else content
