"""State dicts that torch.save wrote, read without torch: tensors on the CPU, in dicts, and nothing else.

Two forms are about: since torch 1.6 a zip with data.pkl and a file a storage, and before that five pickles one after
the other and the storages behind them, as torchvision's VGG16 and LPIPS's heads are. In both the pickle names storages
from outside of it. Only what rebuilds tensors is looked up by name, so that no code of the file's choice is run.
"""

import collections
import io
import pickle
import zipfile
import zlib
from typing import Any

import ml_dtypes
import numpy as np

# What `load` and `read` raise for a file that is none, is damaged, or holds more than data.
ERRORS = (OSError, ValueError, LookupError, EOFError, AttributeError, TypeError, ArithmeticError)
ERRORS += (pickle.UnpicklingError, zipfile.BadZipFile, zlib.error)

_MAGIC = 0x1950A86A20F9469CFC6C
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
    """Tensors by name; those under "state_dict" where the file holds more than them.

    Raises:
      ERRORS: it is no such file, or holds other things than tensors.
    """
    content = read(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ValueError("it holds no tensors by name")
    odd = [name for name, array in content.items() if not isinstance(array, np.ndarray)]
    if odd:
        raise ValueError(f"{odd[0]!r} is no tensor")
    return content


def read(path: str) -> Any:
    """All that a file holds, with arrays for tensors. Raises ERRORS."""
    with open(path, "rb") as file:
        return _load_zip(file) if zipfile.is_zipfile(file) else _load_stream(file)


class _Storage:
    """Numbers in a row; filled at once from a zip, and from a stream when all pickles are read."""

    def __init__(self, dtype: Any, data: np.ndarray | None):
        self.dtype, self.data = dtype, data


class _Tensor:
    """Where in a storage a tensor lies."""

    def __init__(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
    ):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self) -> np.ndarray:
        data = self.storage.data
        assert data is not None
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride))
        if 0 not in self.size and not 0 <= last < len(data):
            raise ValueError("a tensor lies outside of its storage")
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
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no tensor")

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] != "storage":
            raise pickle.UnpicklingError(f"it refers to a {pid[0]}")
        return self._storage(*pid[1:5])


def _load_zip(file: io.BufferedIOBase) -> Any:
    with zipfile.ZipFile(file) as archive:
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
