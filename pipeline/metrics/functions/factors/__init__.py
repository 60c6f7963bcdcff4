"""How well a representation separates known factors: functions of codes [n d] and factors [n k].

The codes are posterior means, and the factors are numbers of values from 0. Each function returns
one number, which is 1 for codes that are the factors, up to noise. scikit-learn takes a second to
import, and is imported where it is used.
"""

import numpy as np
from jaxtyping import Float, Int

Codes = Float[np.ndarray, "n d"]
Factors = Int[np.ndarray, "n k"]


def number_for_training(count: int) -> int:
    """Return how many of `count` examples, the first ones, a classifier is trained on."""
    return count * 2 // 3
