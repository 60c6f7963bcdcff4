"""Write arrays like torch.save, without torch: a zip with data.pkl and one file per storage."""

import collections
import io
import pathlib
import pickle
import sys
import types
import zipfile
from typing import Any

import numpy as np


class Storage:
    def __init__(self, key: str, array: np.ndarray):
        self.key, self.array = key, array


class Tensor:
    def __init__(self, storage: Storage, rebuild: Any):
        self.storage, self.rebuild = storage, rebuild

    def __reduce__(self):
        array = self.storage.array
        strides = tuple(step // array.itemsize for step in array.strides)
        return self.rebuild, (
            self.storage,
            0,
            array.shape,
            strides,
            False,
            collections.OrderedDict(),
        )


def save(content: Any, path: pathlib.Path, monkeypatch: Any) -> None:
    """Write nested dicts and lists `content`, whose float32 arrays become tensors."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    kind = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage, utils._rebuild_tensor_v2 = kind, lambda *given: given
    utils._rebuild_tensor_v2.__module__, utils._rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    storages: list[Storage] = []

    def tensors(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: tensors(one) for name, one in value.items()}
        if isinstance(value, np.ndarray):
            storages.append(Storage(str(len(storages)), np.ascontiguousarray(value, np.float32)))
            return Tensor(storages[-1], utils._rebuild_tensor_v2)
        return value

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Storage):
                return "storage", kind, value.key, "cpu", value.array.size

    stream = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        Pickler(stream, protocol=2).dump(tensors(content))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
