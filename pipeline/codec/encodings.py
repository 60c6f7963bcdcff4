"""Encodings of a batch by codecs of any size: a Gaussian over its latents, or its codes."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import DataError
from pipeline.distributions.continuous import gaussian_kl, gaussian_sample


class AnySizeEncoding:
    """A diagonal Gaussian over the latents of a batch.

    Attributes:
      mean, logvar: [b h w d] or [b t h w d]. size: (height, width) or (frames, height, width) that
        was encoded.
    """

    def __init__(self, mean: Any, logvar: Any, size: tuple[int, ...]):
        self.mean, self.logvar, self.size = mean, logvar, size

    def mode(self) -> Any:
        """Return the posterior means."""
        return self.mean

    def sample(self, key: PRNGKeyArray) -> Array:
        """Return a draw from the posterior."""
        return gaussian_sample(key, jnp.asarray(self.mean), jnp.asarray(self.logvar))

    def indices(self) -> Any:
        """Raise DataError: these latents are not codes."""
        raise no_codes("indices")

    def kl(self) -> Float[Array, " b"]:
        """Return the KL to N(0, 1) of each example, in nats, summed over all of its latents."""
        kl = gaussian_kl(jnp.asarray(self.mean), jnp.asarray(self.logvar))
        return kl.sum(axis=range(1, kl.ndim))


class CodeEncoding:
    """The codes of a batch, chosen with certainty.

    Attributes:
      size: (height, width) or (frames, height, width) that was encoded.
    """

    def __init__(self, codec: Any, indices: Any, size: tuple[int, ...]):
        self._codec, self._indices, self.size = codec, indices, size

    def indices(self) -> Any:
        """Return the indices of the codes, int32 [b h w] or [b t h w].

        Where a position has several codes, they are in a last axis.
        """
        return self._indices

    def mode(self) -> Any:
        """Return the codes, [b h w d] or [b t h w d]."""
        return self._codec.latents_of(self._indices)

    def sample(self, key: PRNGKeyArray) -> Any:
        """Return the codes, whatever the key."""
        del key
        return self.mode()

    def kl(self) -> Float[Array, " b"]:
        """Return the nats of each example if all codes are equally likely."""
        count = math.prod(self._indices.shape[1:])
        return jnp.full(self._indices.shape[:1], count * math.log(self._codec.num_codes))


def no_codes(what: str) -> DataError:
    """Return the error for a request for codes of a codec that has none."""
    return DataError(f"{what}: the latents of this codec are numbers and not codes of a codebook")


def checked_indices(
    indices: Any, shape: tuple[int | None, ...], num_codes: int, what: str = "indices"
) -> Any:
    """Return indices if they are integers of a codebook, in this shape (None: any number).

    Raises:
      DataError: they are not.
    """
    found, dtype = getattr(indices, "shape", None), getattr(indices, "dtype", None)
    if found is None or not np.issubdtype(dtype, np.integer):
        raise DataError(f"{what} are {dtype or type(indices).__name__}, but must be integers")
    if len(found) != len(shape) or any(b not in (None, a) or not a for a, b in zip(found, shape)):
        wanted = " ".join("_" if size is None else str(size) for size in shape)
        raise DataError(f"{what} have shape {list(found)}, and this codec takes [{wanted}]")
    if isinstance(indices, Tracer):  # under a caller's jit there are no values to check
        return indices
    values = np.asarray(indices)
    if values.min() < 0 or values.max() >= num_codes:
        raise DataError(f"{what} must be from 0 to {num_codes - 1}, the codes of this codec")
    return indices


def smallest_integers(indices: Any, num_codes: int) -> np.ndarray:
    """Return indices in the smallest unsigned integer type that holds them all."""
    kinds = (np.uint8, np.uint16, np.uint32)
    kind = next(kind for kind in kinds if num_codes - 1 <= np.iinfo(kind).max)
    return np.asarray(indices).astype(kind)
