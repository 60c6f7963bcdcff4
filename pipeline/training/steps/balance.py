"""Terms whose weight balances gradients at a parameter of the codec, as VF's (arXiv 2501.01423)."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.parameters import Arrays
from pipeline.losses import adversarial

HIGHEST = 1e8  # of the ratio, as in the authors' code

# Shares of (the likelihood, each balanced term) -> the gradient of their sum by the parameters.
Pull = Callable[[float, Mapping[tuple[str, str], Array]], Arrays]


def weights(
    pull: Pull, chosen: Mapping[tuple[str, str], Array | float | int]
) -> dict[tuple[str, str], Array]:
    """Return each chosen weight times ||grad likelihood|| / ||grad term||.

    Args:
      pull: gives gradients; XLA drops everything in them except the path to the parameter.
      chosen: the weights, by the parameter at which to compare, and the name of the term.
    """
    zeros = {name: jnp.zeros(()) for name in chosen}
    found: dict[tuple[str, str], Float[Array, ""]] = {}
    for name, weight in chosen.items():
        layer, _ = name
        found[name] = weight * adversarial.adaptive_weight(
            pull(1.0, zeros)[layer],
            pull(0.0, zeros | {name: jnp.ones(())})[layer],
            highest=HIGHEST,
        )
    return found
