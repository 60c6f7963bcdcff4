"""The two entropies of codes made of bits, from the probability that each bit is 1.

Look-up free quantization (arXiv 2310.05737, eq. 5) adds E[H(q(k | x))] - H(E[q(k | x)]) to the
loss: each position should be sure of its code, and all positions together should use all codes.
Bits are independent given x: q(k | x) is a product.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.quantization.entropy import entropy


def of_positions(logits: Float[Array, "*n d"]) -> Float[Array, "*n"]:
    """Return H(q(k | x)) in nats, where bit i is 1 with probability sigmoid(logit i).

    It is the sum of the entropies of the bits, which equals the entropy over all 2^d codes.
    """
    p = jax.nn.sigmoid(logits)
    return (p * jax.nn.softplus(-logits) + (1 - p) * jax.nn.softplus(logits)).sum(axis=-1)


def of_all(
    logits: Float[Array, "b *n d"], *, group: int, weights: Float[Array, " b"] | None = None
) -> Float[Array, ""]:
    """Return the entropy in nats of the mean of q(k | x) over all positions, by groups of bits.

    The mean does not factorize. With `group` the number of bits it is exact and takes 2^d numbers a
    position; with fewer it is the sum of the groups' entropies, an upper bound. BSQ (arXiv
    2406.07548, eq. 10) takes groups of one bit.

    Args:
      weights: of the examples; by default all count alike.
    """
    p = jax.nn.sigmoid(logits)
    share = jnp.ones(p.shape[0]) if weights is None else weights.astype(jnp.float32)
    share = share / jnp.maximum(share.sum(), 1.0)
    starts = range(0, p.shape[-1], group)
    return sum((_of_group(p[..., i : i + group], share) for i in starts), jnp.zeros(()))


def _of_group(p: Float[Array, "b *n g"], share: Float[Array, " b"]) -> Float[Array, ""]:
    joint: Any = jnp.ones((*p.shape[:-1], 1))
    for bit in range(p.shape[-1]):
        one = p[..., bit : bit + 1]
        joint = jnp.concatenate([joint * (1 - one), joint * one], axis=-1)
    mean = joint.mean(axis=tuple(range(1, joint.ndim - 1)))
    return entropy(jnp.tensordot(share, mean, 1, precision="highest"))
