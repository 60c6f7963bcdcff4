"""Losses of a generator and its discriminator, one value per example, and the adaptive weight.

A discriminator gives many logits per example, one for each patch; the losses use their mean.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError

Logits = Float[Array, "b ..."]


def hinge_generator(fake: Logits) -> Float[Array, " b"]:
    """Return -D(G(x)) (arXiv 1705.02894, eq. 8)."""
    return -_mean(fake)


def hinge_discriminator(real: Logits, fake: Logits) -> Float[Array, " b"]:
    """Return half of max(0, 1 - D(x)) + max(0, 1 + D(G(x))) (arXiv 1705.02894, eq. 7).

    Halved as latent diffusion does.
    """
    return 0.5 * (_mean(jax.nn.relu(1 - real)) + _mean(jax.nn.relu(1 + fake)))


def non_saturating_generator(fake: Logits) -> Float[Array, " b"]:
    """Return -log sigmoid(D(G(x))) (arXiv 1406.2661, section 3)."""
    return _mean(jax.nn.softplus(-fake))


def non_saturating_discriminator(real: Logits, fake: Logits) -> Float[Array, " b"]:
    """Return half of the cross-entropy, -log sigmoid(D(x)) - log(1 - sigmoid(D(G(x))))."""
    return 0.5 * (_mean(jax.nn.softplus(-real)) + _mean(jax.nn.softplus(fake)))


GENERATOR = {"hinge": hinge_generator, "non_saturating": non_saturating_generator}
DISCRIMINATOR = {"hinge": hinge_discriminator, "non_saturating": non_saturating_discriminator}


def check_kind(kind: str, *, where: str) -> None:
    """Raise ConfigError for an unknown loss."""
    if kind not in GENERATOR:
        raise ConfigError(f"{where}.loss={kind!r} must be one of {', '.join(GENERATOR)}")


def r1(discriminator: Callable[[Array], Logits], real: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """Return the squared gradient norm of D at real examples (arXiv 1801.04406, eq. 9).

    D(x) is the sum of an example's logits, whatever the loss does with them, so that every patch is
    penalized. The weight of the penalty is gamma / 2.
    """
    gradient = jax.grad(lambda x: discriminator(x).astype(jnp.float32).sum())(real)
    return jnp.square(gradient).reshape(gradient.shape[0], -1).sum(axis=-1)


def lecam(
    real: Logits, fake: Logits, mean_real: Float[Array, ""], mean_fake: Float[Array, ""]
) -> Float[Array, " b"]:
    """Return the distance of logits from the other kind's running mean (LeCam, arXiv 2104.03310).

    Eq. 8, but as in the authors' code only for logits on the correct side of that mean.
    """
    return _mean(jnp.square(jax.nn.relu(real - mean_fake))) + _mean(
        jnp.square(jax.nn.relu(mean_real - fake))
    )


def adaptive_weight(
    nll_gradient: Any,
    generator_gradient: Any,
    *,
    eps: float | int = 1e-4,
    highest: float | int = 1e4,
) -> Float[Array, ""]:
    """Return ||grad_L nll|| / (||grad_L g|| + eps), at most `highest` (arXiv 2012.09841, eq. 7).

    It gives both gradients the same norm at the layer L. No gradient flows through it.
    """
    ratio = _norm(nll_gradient) / (_norm(generator_gradient) + eps)
    return jax.lax.stop_gradient(jnp.clip(ratio, 0.0, highest))


def _norm(gradient: Array) -> Float[Array, ""]:
    return jnp.sqrt(jnp.square(gradient.astype(jnp.float32)).sum())


def _mean(logits: Logits) -> Float[Array, " b"]:
    return logits.astype(jnp.float32).reshape(logits.shape[0], -1).mean(axis=-1)
