"""The importance-weighted bound on the likelihood (Burda et al., 1509.00519, eq. 8).

log p(x) >= E log mean_k p(x, z_k) / q(z_k | x), with z_k from q(z | x); more samples make it
tighter. Samples are added one at a time, so memory does not grow with their number.
"""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from pipeline.core.types import Outputs
from pipeline.distributions.continuous import log_ratio


def log_weight(outputs: Outputs, image: Shaped[Array, "b ..."]) -> Float[Array, " b"]:
    """Return log p(x | z) + log p(z) - log q(z | x) at the outputs' sample of z, in nats."""
    weight = outputs.recon.log_prob(image)
    for latent in outputs.latents:
        weight = weight + log_ratio(latent)
    return weight


@flax.struct.dataclass
class LogMeanExp:
    """Running log mean_k exp(w_k) of each example, exact for any size of the w_k."""

    log_sum: Float[Array, " b"]
    count: Int[Array, ""]

    @classmethod
    def create(cls, batch_size: int) -> "LogMeanExp":
        """Return the start, with no samples added."""
        return cls(jnp.full((batch_size,), -jnp.inf, jnp.float32), jnp.int32(0))

    def add(self, log_weights: Float[Array, " b"]) -> "LogMeanExp":
        """Return the running value with one more w_k per example."""
        return LogMeanExp(jnp.logaddexp(self.log_sum, log_weights), self.count + 1)

    def value(self) -> Float[Array, " b"]:
        """Return log mean_k exp(w_k) of each example."""
        return self.log_sum - jnp.log(self.count.astype(jnp.float32))
