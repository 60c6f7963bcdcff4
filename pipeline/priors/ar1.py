"""The autoregressive prior of delta-VAE (arXiv 1901.03416, section 2.2).

A posterior that is a product over positions cannot equal it, so that the KL has a lower bound above
0, the committed rate, and the latents cannot be ignored.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob


class AR1(nnx.Module):
    """z_t = alpha z_(t-1) + sqrt(1 - alpha^2) e_t over the first axis of a latent, e_t ~ N(0, 1).

    Each z_t has the marginal N(0, 1); channels are independent. There are no parameters.

    Args:
      alpha: correlation of neighbours, between -1 and 1: one number, or one for each channel.
    """

    def __init__(self, *, shape: tuple[int, ...], alpha: float | int | Sequence[float | int] = 0.9):
        if len(shape) not in (1, 2) or shape[0] < 2:
            raise ConfigError(
                "model.prior: AR1 is for latents [n] or [n channels] with n of 2 or more, and "
                f"these have shape {list(shape)}"
            )
        channels = shape[1] if len(shape) == 2 else 1
        alphas = tuple(alpha) if isinstance(alpha, Sequence) else (alpha,) * channels
        if len(alphas) != channels or not all(-1 < each < 1 for each in alphas):
            raise ConfigError(
                f"model.prior.alpha={alpha!r} must be between -1 and 1, one number or {channels}, "
                "the number of channels"
            )
        self.shape, self.alphas = shape, alphas

    @property
    def committed_rate(self) -> float:
        """The smallest KL of a posterior that is a product over positions, in nats (eq. 4)."""
        squares = np.square(self.alphas)
        steps = self.shape[0]
        return float(np.sum((steps - 2) * np.log1p(squares) - np.log1p(-squares)) / 2)

    def log_prob(self, z: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
        alpha, logvar = self._conditionals()
        return gaussian_log_prob(z, alpha * _previous(z), logvar)

    def kl(
        self, mean: Float[Array, "b ..."], logvar: Float[Array, "b ..."]
    ) -> Float[Array, "b ..."]:
        """Return E_q KL(q(z_t) || p(z_t | z_(t-1))), whose sum is never below the committed rate.

        The expectation over z_(t-1) is in closed form; the paper samples it.
        """
        alpha, prior_logvar = self._conditionals()
        gap = logvar - prior_logvar
        distance = jnp.square(mean - alpha * _previous(mean))
        spread = jnp.square(alpha) * _previous(jnp.exp(logvar))
        return 0.5 * (jnp.expm1(gap) - gap + (distance + spread) * jnp.exp(-prior_logvar))

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num ..."]:
        zeros = jnp.zeros((num, *self.shape), jnp.float32)
        if key is None:
            return zeros
        alpha, logvar = self._conditionals()
        noise = temperature * jnp.exp(0.5 * logvar) * jax.random.normal(key, zeros.shape)

        def step(before: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            alpha, noise = now
            z = alpha * before + noise
            return z, z

        _, z = jax.lax.scan(step, zeros[:, 0], (alpha, jnp.moveaxis(noise, 1, 0)))
        return jnp.moveaxis(z, 0, 1)

    def _conditionals(self) -> tuple[Float[Array, "n ..."], Float[Array, "n ..."]]:
        """Return alpha and the log-variance of each position given the one before; the first has
        none before it.
        """
        alpha = np.broadcast_to(self.alphas, (self.shape[0], len(self.alphas))).astype(np.float32)
        first = np.arange(self.shape[0])[:, None] == 0
        alpha = np.where(first, 0.0, alpha).reshape(self.shape)
        return jnp.asarray(alpha), jnp.asarray(np.log1p(-np.square(alpha)))


def _previous(z: Float[Array, "b n ..."]) -> Float[Array, "b n ..."]:
    """Return each position's predecessor, 0 for the first."""
    return jnp.concatenate([jnp.zeros_like(z[:, :1]), z[:, :-1]], axis=1)
