"""Fingerprints of arrays, by which a resumed run or a saved result recognizes its weights."""

import hashlib
from collections.abc import Mapping

import numpy as np


def fingerprint_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of names, types, shapes and values of all arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}:{array.dtype.name}:{list(arrays[name].shape)};".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
