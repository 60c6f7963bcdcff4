"""Centred kernel alignment (CKA) of two sets of features (arXiv 1905.00414, eq. 4, linear)."""

import numpy as np
from jaxtyping import Float


def cka(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "n d"]) -> float:
    """Return |A^T B|^2 / (|A^T A| |B^T B|) of centred features of the same n places.

    It is 1 for equal features, whatever orthogonal map or factor is between them, and about
    c d / n for unrelated ones. Features without variance have 0.
    """
    a, b = (np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64) for x in (a, b))
    both = np.square(a.T @ b).sum()
    own = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(both / own) if own > 0 else 0.0
