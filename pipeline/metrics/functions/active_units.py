"""Number of latent units that a model uses, by two definitions that papers mix up.

A unit is one element of a latent: a dimension of a vector, or one channel at one position of a map.
It is active

- by variance: Var_x(mean_q(x)) > 0.01, of the posterior mean over examples (Burda et al.,
  1509.00519, section 5.2);
- by KL: mean_x KL(q || p) > 0.01 nats.

A hierarchy's prior moves with the latents above it, and its scale is not 1. There the variance is
taken of (mean_q - mean_p) / sigma_p, which is 0 for a unit whose posterior is its prior, and equals
Burda's under a standard normal prior.
"""

import flax.struct
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pipeline.core.types import Latent
from pipeline.metrics.functions.average import masked_sum

THRESHOLD = 0.01


@flax.struct.dataclass
class UnitMoments:
    """Sums over the examples of one batch for each unit of a layer, computed on the device."""

    count: Float[Array, ""]
    mean: Float[Array, "..."]  # of the standardized posterior means
    squares: Float[Array, "..."]  # sum of their squared deviations from `mean`
    kl: Float[Array, "..."]  # sum

    @classmethod
    def of(cls, latent: Latent, mask: Shaped[Array, " b"]) -> "UnitMoments":
        """Return the moments of a batch.

        Raises:
          ValueError: the latent has no mean.
        """
        if latent.mean is None:
            raise ValueError("active units need a Gaussian latent: this one has no mean")
        deviation = latent.mean
        if latent.prior_mean is not None and latent.prior_logvar is not None:
            deviation = (deviation - latent.prior_mean) * jnp.exp(-0.5 * latent.prior_logvar)
        count = jnp.sum(mask > 0).astype(jnp.float32)
        mean = masked_sum(deviation, mask) / jnp.maximum(count, 1)
        squares = masked_sum(jnp.square(deviation - mean), mask)
        return cls(count, mean, squares, masked_sum(latent.kl, mask))


class ActiveUnits:
    """Moments of one layer over all batches so far, in float64 on the host.

    The result does not depend on how examples are split into batches.
    """

    def __init__(self):
        self.count = 0.0
        self.mean, self.squares, self.kl = (np.float64(0) for _ in range(3))

    def add(self, other: "UnitMoments | ActiveUnits") -> None:
        """Merge the moments of more examples (Chan's parallel update)."""
        count, mean, squares, kl = (np.asarray(x, np.float64) for x in vars(other).values())
        total = max(self.count + float(count), 1.0)
        shift = mean - self.mean
        self.squares = self.squares + squares + shift**2 * self.count * count / total
        self.mean = self.mean + shift * count / total
        self.kl = self.kl + kl
        self.count += float(count)

    def result(self) -> dict[str, int]:
        """Return the number of units, and how many are active by each definition."""
        count = max(self.count, 1.0)
        return dict(
            units=int(np.size(self.kl)),
            by_variance=int(np.sum(self.squares / count > THRESHOLD)),
            by_kl=int(np.sum(self.kl / count > THRESHOLD)),
        )
