"""Fingerprints of arrays, by which a resumed run or a saved result recognizes its weights."""

import hashlib
from collections.abc import Mapping

import numpy as np


def fingerprint_of(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of all arrays and their names, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
