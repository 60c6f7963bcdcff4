"""The importance-weighted bound (Burda et al., 1509.00519, eq. 8).

log p(x) >= E log mean_k p(x, z_k) / q(z_k | x), with z_k from q(z | x); the more samples, the tighter.
Samples are added one at a time, so that memory does not grow with their number.
"""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from pipeline.core.types import Outputs
from pipeline.distributions.continuous import log_ratio


def log_weight(outputs: Outputs, image: Shaped[Array, "b ..."]) -> Float[Array, " b"]:
    """log p(x | z) + log p(z) - log q(z | x) at the outputs' own sample of z, in nats."""
    weight = outputs.recon.log_prob(image)
    for latent in outputs.latents:
        weight = weight + log_ratio(latent)
    return weight


@flax.struct.dataclass
class LogMeanExp:
    """log mean_k exp(w_k) of each example, over the w_k added so far; exact however large the w_k are."""

    log_sum: Float[Array, " b"]
    count: Int[Array, ""]

    @classmethod
    def create(cls, batch_size: int) -> "LogMeanExp":
        return cls(jnp.full((batch_size,), -jnp.inf, jnp.float32), jnp.int32(0))

    def add(self, log_weights: Float[Array, " b"]) -> "LogMeanExp":
        return LogMeanExp(jnp.logaddexp(self.log_sum, log_weights), self.count + 1)

    def value(self) -> Float[Array, " b"]:
        return self.log_sum - jnp.log(self.count.astype(jnp.float32))
