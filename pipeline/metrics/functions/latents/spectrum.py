"""Where the variance of latents is: at which frequencies of space, and in how many channels."""

import numpy as np
from jaxtyping import Float

Maps = Float[np.ndarray, "n h w d"]


def low_frequency_share(z: Maps) -> float:
    """Return the share of the power at frequencies up to half of Nyquist's, in both directions.

    Channels are standardized first, and the mean of each map is left out. White noise has the share
    of these frequencies among all, about a third of a small map; maps without variance have 0.
    """
    z = standardized(z)
    power = np.square(np.abs(np.fft.fft2(z, axes=(1, 2)))).sum(axis=(0, 3))
    rows, columns = (np.abs(np.fft.fftfreq(side)) for side in z.shape[1:3])
    low = np.maximum(rows[:, None], columns[None]) <= 0.25
    power[0, 0] = 0
    total = power.sum()
    return float(power[low].sum() / total) if total > 0 else 0.0


def effective_channels(z: Maps) -> float:
    """Return the participation ratio (sum l)^2 / sum l^2 of the covariance of the channels.

    It is d for d uncorrelated channels of one variance, and 1 if one direction has all of it.
    """
    rows = z.reshape(-1, z.shape[-1]).astype(np.float64)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    # The sum of squares of the eigenvalues is that of all elements.
    squares = np.square(covariance).sum()
    return float(np.trace(covariance) ** 2 / squares) if squares > 0 else 0.0


def standardized(z: Maps) -> Float[np.ndarray, "n h w d"]:
    """Return maps whose channels have mean 0 and variance 1 over everything; constants become 0."""
    z = np.asarray(z, np.float64)
    std = z.std(axis=(0, 1, 2))
    return (z - z.mean(axis=(0, 1, 2))) / np.where(std > 0, std, 1)
