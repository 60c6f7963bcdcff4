"""Codebook usage of a discrete layer, computed from the number of times each code is chosen.

Codes are counted over all positions of all examples. The perplexity is the exponential of the
entropy of the codes' relative frequencies: the number of codes if all are equally frequent, 1 if
only one is chosen. Its logarithm to base 2 is the number of bits that an ideal entropy coder needs
for a code whose neighbours it does not know. The share of codes used grows with the number of
examples.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pipeline.core.types import Latent
from pipeline.metrics import catalogue

Counts = Float[Array | np.ndarray, " _"]


def code_counts(latent: Latent, mask: Shaped[Array, " b"]) -> Float[Array, " k"]:
    """Return the number of times each code is chosen in the examples whose mask is not 0."""
    assert latent.indices is not None, "only a discrete latent has codes to count"
    counted = (mask > 0).astype(jnp.float32).reshape(-1, *[1] * (latent.indices.ndim - 1))
    return jnp.zeros((latent.num_codes,), jnp.float32).at[latent.indices].add(counted)


def perplexity(counts: Counts) -> Float[Array, ""]:
    """Return exp(-sum p log p), with p the counts divided by their sum."""
    shares = counts / jnp.maximum(jnp.sum(counts), 1)
    return jnp.exp(-jnp.sum(shares * jnp.log(jnp.where(shares > 0, shares, 1.0))))


def used(counts: Counts) -> Float[Array, ""]:
    """Return the share of codes with a count above 0."""
    return jnp.mean(jnp.asarray(counts) > 0)


def bits(counts: Counts) -> Float[Array, ""]:
    """Return the entropy of the codes' shares, in bits."""
    return jnp.log2(perplexity(counts))


def of_layers(counts: Sequence[Counts]) -> dict[str, Float[Array, " l"]]:
    """Return the catalogue's codebook metrics of each discrete layer, top first; {} without any."""
    if not counts:
        return {}
    return {
        name: jnp.stack([function(layer) for layer in counts])
        for name, function in catalogue.metrics_of("codebook").items()
    }


def count_layers(latents: Sequence[Latent], mask: Shaped[Array, " b"]) -> list[Float[Array, " _"]]:
    """Return the `code_counts` of the discrete layers, top first.

    Where a position has several codes, each of them counts as a layer, the first one first.
    """
    return [
        code_counts(each, mask)
        for latent in latents
        if latent.indices is not None
        for each in _single_codes(latent)
    ]


def _single_codes(latent: Latent) -> list[Latent]:
    indices: Any = latent.indices
    if indices.ndim < latent.z.ndim:
        return [latent]
    return [
        dataclasses.replace(latent, indices=indices[..., level])
        for level in range(indices.shape[-1])
    ]
