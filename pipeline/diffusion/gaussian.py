"""Flow matching of Gaussian data in closed form: what a linear velocity explains.

For x ~ N(m, C) with eigenvalues l_i of C, the best velocity at time t is linear in x_t, with the
slope (t - (1 - t) l) / ((1 - t)^2 l + t^2) along an eigenvector, and its squared error is

    sum_i l_i / ((1 - t)^2 l_i + t^2).

It is the best linear velocity of any data with these moments, so that a network's loss below it
measures the structure beyond mean and covariance that the network has learned.
"""

import numpy as np
from jaxtyping import Float

Eigenvalues = Float[np.ndarray, " d"]


def slope(eigenvalues: Eigenvalues, time: float) -> Float[np.ndarray, " d"]:
    """Return the slope of the best velocity along each eigenvector at a time."""
    values = np.asarray(eigenvalues, np.float64)
    return (time - (1 - time) * values) / ((1 - time) ** 2 * values + time**2)


def best_loss(eigenvalues: Eigenvalues, time: float) -> float:
    """Return the squared error of the best velocity, as a mean over the d elements.

    Eigenvalues of rounding below 0 count as 0, which has no error.
    """
    values = np.maximum(np.asarray(eigenvalues, np.float64), 0)
    below = (1 - time) ** 2 * values + time**2
    return float(np.divide(values, below, out=np.zeros_like(values), where=values > 0).mean())
