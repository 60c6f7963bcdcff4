"""How much of its codebook a discrete layer uses.

Of how often each code was chosen, over all positions of all examples:

- perplexity: exp of that distribution's entropy; the number of codes if all come equally often, 1 if one does alone;
- used: the share of codes that were chosen at all, which grows with the number of examples.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pipeline.core.types import Latent

Counts = Float[Array | np.ndarray, " _"]


def code_counts(latent: Latent, mask: Shaped[Array, " b"]) -> Float[Array, " k"]:
    """How often each code was chosen in the examples whose mask is not 0."""
    assert latent.indices is not None, "only a discrete latent has codes to count"
    counted = (mask > 0).astype(jnp.float32).reshape(-1, *[1] * (latent.indices.ndim - 1))
    return jnp.zeros((latent.num_codes,), jnp.float32).at[latent.indices].add(counted)


def perplexity(counts: Counts) -> Float[Array, ""]:
    """exp(-sum p log p) of the counts' shares p."""
    shares = counts / jnp.maximum(jnp.sum(counts), 1)
    return jnp.exp(-jnp.sum(shares * jnp.log(jnp.where(shares > 0, shares, 1.0))))


def used(counts: Counts) -> Float[Array, ""]:
    """The share of codes with a count."""
    return jnp.mean(jnp.asarray(counts) > 0)


def of_layers(counts: Sequence[Counts]) -> dict[str, Float[Array, " l"]]:
    """Both figures of each discrete layer, top first; nothing where there is none."""
    if not counts:
        return {}
    return dict(
        codebook_perplexity=jnp.stack([perplexity(layer) for layer in counts]),
        codebook_used=jnp.stack([used(layer) for layer in counts]),
    )


def count_layers(latents: Sequence[Latent], mask: Shaped[Array, " b"]) -> list[Float[Array, " _"]]:
    """`code_counts` of the layers that are discrete, top first."""
    return [code_counts(latent, mask) for latent in latents if latent.indices is not None]
