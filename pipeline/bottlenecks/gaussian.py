"""What encoders of codecs end with: a diagonal Gaussian at each position, beside N(0, 1)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import clip_logvar, gaussian_kl, gaussian_sample


def of_moments(moments: Float[Array, "*shape c"], key: PRNGKeyArray | None = None) -> Latent:
    """Channels are means, then as many log-variances; z is the mean, or with a key a sample. KL in nats to N(0, 1)."""
    mean, logvar = jnp.split(moments.astype(jnp.float32), 2, axis=-1)
    logvar = clip_logvar(logvar)
    z = mean if key is None else gaussian_sample(jax.random.fold_in(key, 0), mean, logvar)
    zeros = jnp.zeros_like(mean)
    return Latent(z, gaussian_kl(mean, logvar), mean, logvar, prior_mean=zeros, prior_logvar=zeros)


def given_or_prior(
    latents: Sequence[Float[Array, "b ..."]],
    shape: tuple[int, ...],
    *,
    num: int | None,
    key: PRNGKeyArray | None,
    temperature: float | int | Float[Array, ""] | Sequence[float | int],
) -> Float[Array, "b ..."]:
    """The one array of `latents`, or without it `num` draws of `shape` from N(0, 1), or their mean without a key.

    `temperature` multiplies their deviation, a number or a sequence of one.
    """
    if latents:
        (z,) = latents
        return z
    if num is None:
        raise ValueError("decode needs `num`, a batch size, when it is given no latents")
    scale = temperature[0] if isinstance(temperature, Sequence) else temperature
    z = jnp.zeros((num, *shape), jnp.float32)
    return z if key is None else scale * jax.random.normal(jax.random.fold_in(key, 0), z.shape)
