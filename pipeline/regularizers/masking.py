"""Masked latents: the decoder completes what it does not get (SSVAE, arXiv 2512.05394).

Positions of the latent grid are replaced by a learned vector. The eigenspectrum of the channels
then concentrates on few modes, because each position must tell of its neighbours too.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from pipeline.core.errors import ConfigError
from pipeline.regularizers.base import Regularizer


def masking(
    *,
    ratios: Sequence[float] = (0.0, 0.25, 0.5, 0.75),
    probabilities: Sequence[float] = (0.7, 0.1, 0.1, 0.1),
    block: Sequence[int] = (1, 1, 1),
    latent_channels: int = 0,
    where: str = "regularizers.masking",
) -> Regularizer:
    """Return the regularizer; the positions of a step are the same in all examples.

    The defaults are the authors' at 256x256 pixels; theirs at 512x512 are the probabilities
    0.6, 0.1, 0.15 and 0.15 of blocks (2, 2, 2). Their learned vector starts from N(0, 1).

    ratios: shares of the positions that are masked. probabilities: of the ratios, in their order.
    block: frames, height and width of what is masked together.
    """
    if len(ratios) != len(probabilities) or not all(0 <= ratio <= 1 for ratio in ratios):
        raise ConfigError(f"{where}: ratios={tuple(ratios)} need one of probabilities each")
    if not math.isclose(sum(probabilities), 1, abs_tol=1e-6) or min(probabilities) < 0:
        raise ConfigError(f"{where}.probabilities={tuple(probabilities)} must add up to 1")
    if len(block) != 3 or min(block) < 1:
        raise ConfigError(f"{where}.block={tuple(block)} must be three numbers of 1 or more")
    chances, logs = jnp.asarray(ratios, jnp.float32), np.log(np.maximum(probabilities, 1e-30))
    token = np.random.default_rng(0).normal(size=latent_channels).astype(np.float32)

    def latents(z, key, params, choice):
        of_ratio, of_blocks = jax.random.split(key)
        ratio = chances[jax.random.categorical(of_ratio, jnp.asarray(logs))]
        grid = z.shape[1:-1]
        masked = mask(of_blocks, ratio, grid, tuple(block)[-len(grid) :])
        return jnp.where(masked[..., None], params["token"].astype(z.dtype), z)

    return Regularizer(latents, params={"token": token})


def mask(
    key: PRNGKeyArray, ratio: Float[Array, ""], grid: tuple[int, ...], block: tuple[int, ...]
) -> Bool[Array, "*grid"]:
    """Return which positions of a grid are masked: whole blocks, as many as the ratio has room for.

    Positions at the far edges that fill no block are never masked, as in the authors' code.
    """
    blocks = tuple(side // each for side, each in zip(grid, block, strict=True))
    number, size = math.prod(blocks), math.prod(block)
    wanted = jnp.floor(ratio * math.prod(grid) / size).astype(jnp.int32)
    wanted = jnp.where(ratio > 0, jnp.maximum(wanted, 1), 0)
    # Of shape [1 n], which microbatches do not take for rows of examples.
    rank = jnp.argsort(jnp.argsort(jax.random.uniform(key, (1, number)), axis=1), axis=1)
    chosen = rank.reshape(blocks) < wanted
    for axis, each in enumerate(block):
        chosen = jnp.repeat(chosen, each, axis=axis)
    return jnp.pad(chosen, [(0, side - n) for side, n in zip(grid, chosen.shape, strict=True)])
