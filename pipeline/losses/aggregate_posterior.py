"""The aggregate posterior q(z) = mean_n q(z | x_n) of a training set, from one minibatch of it.

With it the KL of a VAE, averaged over the training set, has three parts (beta-TCVAE, arXiv
1802.04942, eq. 2):

    KL(q(z, n) || q(z) p(n)) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))

They are the terms `index_code_mi`, `total_correlation` and `dimension_kl`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Outputs
from pipeline.distributions.continuous import gaussian_log_prob, log_prior


class LogDensities(NamedTuple):
    """Log-densities at the sample z of each example, in nats.

    Attributes:
      posterior: log q(z | x).
      aggregate: log q(z).
      product: sum_j log q(z_j), j running over the elements of z.
      prior: log p(z).
    """

    posterior: Float[Array, " b"]
    aggregate: Float[Array, " b"]
    product: Float[Array, " b"]
    prior: Float[Array, " b"]


def log_densities(outputs: Outputs, batch: Batch, *, num_examples: int, where: str) -> LogDensities:
    """Return the log-densities at the samples of a batch, estimated with `log_weights`.

    The batch is the set of examples differentiated at once: a microbatch if gradients are
    accumulated. Memory grows with its square.

    Args:
      outputs: its only latent is Gaussian.
      batch: its "mask" leaves out padding.
      num_examples: size of the training set.
      where: key of the term, for messages.

    Raises:
      ConfigError: another kind of latents, one example, or more than `num_examples`.
    """
    z, mean, logvar = posteriors_of(outputs, where)
    mask, b = batch.get("mask"), len(z)
    if not 2 <= b <= num_examples:
        raise ConfigError(
            f"{where} compares the examples of a batch or microbatch, which has {b} and must have "
            f"from 2 to {where}.num_examples={num_examples}"
        )
    rows = jnp.broadcast_to(z[:, None], (b, *z.shape))
    log_q = gaussian_log_prob(rows, mean, logvar)  # [b b d]: row i has z_i, column j q_j
    log_w = log_weights(jnp.ones(b) if mask is None else mask, num_examples)
    return LogDensities(
        posterior=gaussian_log_prob(z, mean, logvar).sum(axis=-1),
        aggregate=jax.nn.logsumexp(log_q.sum(axis=-1) + log_w, axis=1),
        product=jax.nn.logsumexp(log_q + log_w[..., None], axis=1).sum(axis=-1),
        prior=log_prior(outputs.latents[0]).reshape(b, -1).sum(axis=-1),
    )


def log_weights(mask: Shaped[Array, " b"], num_examples: int) -> Float[Array, "b b"]:
    """Return the log of the weight of q(z_i | x_j), with which q(z_i) is the sum over j.

    An example weighs 1 / N in its own row, as it does in q(z), and the others share the rest:
    (N - 1) / (N M) each, where M is their number. Each row sums to one, q(z) is estimated without
    bias, and with M + 1 = N it is exact.

    The authors' minibatch stratified sampling (arXiv 1802.04942, appendix C) gives one of the
    others (N - M) / (N M) and the rest 1 / M; these weights are its mean over that choice, so that
    the order of the examples has no effect. Public code puts 1 / N into the first column in place
    of the diagonal.
    """
    used = mask > 0
    others = jnp.maximum(used.sum() - 1, 1).astype(jnp.float32)
    other = jnp.log((num_examples - 1) / num_examples) - jnp.log(others)
    own = -jnp.log(jnp.float32(num_examples))
    return jnp.where(used, jnp.where(jnp.eye(len(mask), dtype=bool), own, other), -jnp.inf)


def check_num_examples(num_examples: int, where: str) -> None:
    """Raise ConfigError if the size of the training set is not given."""
    if num_examples < 2:
        raise ConfigError(
            f"{where}.num_examples={num_examples} must be the number of training examples, which "
            "is 2 or more"
        )


class Posteriors(NamedTuple):
    """Gaussian posteriors of a batch, and a sample z of each."""

    z: Float[Array, "b d"]
    mean: Float[Array, "b d"]
    logvar: Float[Array, "b d"]


def posteriors_of(outputs: Outputs, where: str) -> Posteriors:
    """Return the posteriors of the only latent of a model.

    Raises:
      ConfigError: the model has several layers, a flow, or discrete latents.
    """
    latent = outputs.latents[0]
    mean, logvar = latent.mean, latent.logvar
    if len(outputs.latents) > 1 or mean is None or logvar is None or latent.log_q is not None:
        raise ConfigError(
            f"{where} is for one layer of Gaussian latents without a flow, which this model has "
            "not; remove the term"
        )
    b = len(latent.z)
    return Posteriors(latent.z.reshape(b, -1), mean.reshape(b, -1), logvar.reshape(b, -1))
