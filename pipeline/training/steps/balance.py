"""Terms whose weight balances gradients at a parameter of the codec, as VF's (arXiv 2501.01423)."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.parameters import Arrays
from pipeline.losses import adversarial

HIGHEST = 1e8  # of the ratio, as in the authors' code

# Shares of (the likelihood, each balanced term) -> the gradient of their sum by the parameters.
Pull = Callable[[float, Mapping[tuple[str, str], Array]], Arrays]


def weights(pull: Pull, names: tuple[tuple[str, str], ...]) -> dict[tuple[str, str], Array]:
    """Return ||grad likelihood|| / ||grad term|| of each balanced term, by its own parameter.

    Args:
      pull: gives gradients; XLA drops everything in them except the path to the parameter.
      names: the parameter and the name of each term.
    """
    zeros = {name: jnp.zeros(()) for name in names}
    found: dict[tuple[str, str], Float[Array, ""]] = {}
    for name in names:
        layer, _ = name
        found[name] = adversarial.adaptive_weight(
            pull(1.0, zeros)[layer],
            pull(0.0, zeros | {name: jnp.ones(())})[layer],
            highest=HIGHEST,
        )
    return found
