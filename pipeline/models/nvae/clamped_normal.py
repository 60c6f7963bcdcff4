"""NVAE's normal distributions (2007.03898): means and log-deviations within +-5, deviations of at
least 0.01.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

LIMIT, MIN_DEVIATION = 5.0, 1e-2


def clamped_normal(
    mean: Float[Array, "*shape"], log_sigma: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """(mean, log-variance), float32, of N(c(mean), exp(c(log_sigma)) + 0.01) with c(x) = 5 tanh(x /
    5).
    """
    sigma = jnp.exp(soft_clamp(log_sigma)) + MIN_DEVIATION
    return soft_clamp(mean), 2 * jnp.log(sigma)


def residual_normal(
    prior: Float[Array, "... p"], residual: Float[Array, "... p"]
) -> tuple[Float[Array, "... d"], Float[Array, "... d"]]:
    """A posterior relative to its prior: N(mean_p + dmean, sigma_p * dsigma), clamped after the sum
    (equation 3).

    Both are d means and d log-deviations along the last axis. A residual of 0 is the prior, and its
    KL 0: the posterior learns what the image adds, and follows the prior as that moves.
    """
    return clamped_normal(
        *jnp.split(prior.astype(jnp.float32) + residual.astype(jnp.float32), 2, axis=-1)
    )


def soft_clamp(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 5 tanh(x / 5): x near 0, smooth, and never beyond +-5."""
    return LIMIT * jnp.tanh(x.astype(jnp.float32) / LIMIT)
