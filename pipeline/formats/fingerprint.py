"""Fingerprints of arrays, by which a resumed run or a saved result recognizes its weights."""

import hashlib
from collections.abc import Mapping

import numpy as np


def fingerprint_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of names, types, shapes and values of all arrays, in hexadecimal."""
    fingerprint = Fingerprint()
    for name in sorted(arrays):
        fingerprint.add(name, arrays[name])
    return fingerprint.hexdigest()


class Fingerprint:
    """The fingerprint of arrays that are added one at a time, in the order of their names."""

    def __init__(self):
        self._digest = hashlib.sha256()

    def add(self, name: str, array: np.ndarray) -> None:
        whole = np.ascontiguousarray(array)
        self._digest.update(f"{name}:{whole.dtype.name}:{list(array.shape)};".encode())
        self._digest.update(whole.reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
