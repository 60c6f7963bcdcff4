"""A mixture of diagonal Gaussians, and the functions of mixtures that other priors use."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.distributions.continuous import clip_logvar, gaussian_log_prob, gaussian_sample


class GaussianMixture(nnx.Module):
    """sum_k w_k N(m_k, diag v_k), all learned.

    The weights start equal, the means as draws from N(0, 1), and the variances at 1.

    Args:
      num_components: K.
    """

    def __init__(self, *, shape: tuple[int, ...], num_components: int = 100, key: PRNGKeyArray):
        self.logits = nnx.Param(jnp.zeros((num_components,), jnp.float32))
        self.means = nnx.Param(jax.random.normal(key, (num_components, *shape), jnp.float32))
        self.logvars = nnx.Param(jnp.zeros((num_components, *shape), jnp.float32))

    def log_prob(self, z: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
        return mixture_log_prob(z, *self._components())

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num ..."]:
        return mixture_sample(key, num, temperature, *self._components())

    def _components(
        self,
    ) -> tuple[Float[Array, " k"], Float[Array, "k ..."], Float[Array, "k ..."]]:
        log_weights = jax.nn.log_softmax(self.logits[...])
        return log_weights, self.means[...], clip_logvar(self.logvars[...])


def mixture_log_prob(
    z: Float[Array, "b ..."],
    log_weights: Float[Array, " k"],
    means: Float[Array, "k ..."],
    logvars: Float[Array, "k ..."],
) -> Float[Array, "b ..."]:
    """Return log p(z_i | z_1..i-1) of each element, in nats; their sum is the log-density.

    It takes the memory of b * k latents.
    """
    means, logvars = means.reshape(len(means), -1), logvars.reshape(len(logvars), -1)
    rows = jnp.broadcast_to(z.reshape(len(z), 1, -1), (len(z), *means.shape))
    log_joint = log_weights[:, None] + jnp.cumsum(gaussian_log_prob(rows, means, logvars), axis=-1)
    log_marginal = jax.nn.logsumexp(log_joint, axis=1)  # log p(z_1..i)
    return jnp.diff(log_marginal, axis=-1, prepend=0.0).reshape(z.shape)


def mixture_sample(
    key: PRNGKeyArray | None,
    num: int,
    temperature: Float[Array, ""] | float | int,
    log_weights: Float[Array, " k"],
    means: Float[Array, "k ..."],
    logvars: Float[Array, "k ..."],
) -> Float[Array, "num ..."]:
    """Return draws of a component and then of its Gaussian, whose deviation is multiplied by
    `temperature`; without a key the mixture's mean.
    """
    if key is None:
        mean = jnp.tensordot(jnp.exp(log_weights), means, axes=1)
        return jnp.broadcast_to(mean, (num, *mean.shape))
    component_key, noise_key = jax.random.split(key)
    chosen = jax.random.categorical(component_key, log_weights, shape=(num,))
    return gaussian_sample(noise_key, means[chosen], logvars[chosen], temperature)
