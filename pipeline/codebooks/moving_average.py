"""Codes that are moving averages of the vectors that chose them (arXiv 1711.00937, appendix A.1).

A step of k-means on each batch, averaged over batches. Each average is divided by the weight that
it has so far, as Adam's moments are, so that the first batch counts in full and zeros do not.

We deviate from both public codes where a code has never been chosen: it keeps its place. Sonnet's
codes become 0 there, and in a widespread port, which does not divide by the weight, they are thrown
out to 10^5 times their norm.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pipeline.backend.segment_sum import segment_counts, segment_sum
from pipeline.core.errors import ConfigError
from pipeline.nn import init


class Statistic(nnx.Variable):
    """A running average of training steps."""


class MovingAverage(nnx.Module):
    """`num_codes` codes of `dim` numbers, N(0, deviation^2) at the start.

    Args:
      decay: of the averages, from 0 to below 1.
      smoothing: added to each code's count before it divides, and taken from all of them in
        proportion, so that rare codes do not divide by nearly 0 (Laplace smoothing).
      restart_below: a code that fewer vectors a step than this choose, in the running average,
        takes the place of a random vector of the batch; 0 leaves such codes alone. VQ's dead codes
        are revived in this way in arXiv 2005.00341, section 3.1.
      deviation: of the codes at the start.
    """

    def __init__(
        self,
        *,
        num_codes: int,
        dim: int,
        decay: float | int = 0.99,
        smoothing: float | int = 1e-5,
        restart_below: float | int = 0.0,
        deviation: float | int = 1.0,
        key: PRNGKeyArray,
    ):
        if not 0 <= decay < 1:
            raise ConfigError(
                f"model.bottleneck.codebook.decay={decay} must be at least 0 and below 1"
            )
        if min(smoothing, restart_below) < 0:
            raise ConfigError(
                "model.bottleneck.codebook.smoothing and restart_below must be 0 or more"
            )
        self.codes = Statistic(init.normal(key, (num_codes, dim), deviation))
        self.counts = Statistic(jnp.zeros((num_codes,), jnp.float32))
        self.sums = Statistic(jnp.zeros((num_codes, dim), jnp.float32))
        self.weight = Statistic(jnp.zeros((), jnp.float32))  # of all steps in the averages
        self.decay, self.smoothing, self.restart_below = decay, smoothing, restart_below

    def __call__(self) -> Float[Array, "k d"]:
        """Return the codes, which have no gradient."""
        return jax.lax.stop_gradient(self.codes[...])

    def follow(
        self, x: Float[Array, "*n d"], indices: Int[Array, "*n"], key: PRNGKeyArray | None
    ) -> None:
        """Average in the vectors of a step; `key` draws the places of restarted codes."""
        x = jax.lax.stop_gradient(x.astype(jnp.float32))
        num_codes = len(self.counts[...])
        self._average(self.weight, jnp.ones(()))
        self._average(self.counts, segment_counts(indices, num_codes))
        self._average(self.sums, segment_sum(x, indices, num_codes))
        weight = self.weight[...]
        counts, means = self.counts[...] / weight, self.sums[...] / weight
        total = counts.sum()
        share = total / jnp.maximum(total + num_codes * self.smoothing, 1e-30)
        smoothed = (counts + self.smoothing) * share
        means = means / jnp.where(counts > 0, smoothed, 1.0)[:, None]
        self.codes[...] = jnp.where((counts > 0)[:, None], means, self.codes[...])
        if self.restart_below and key is not None:
            self._restart(x, counts < self.restart_below, key)

    def _average(self, average: Any, value: Array) -> None:
        average[...] = self.decay * average[...] + (1 - self.decay) * value

    def _restart(self, x: Float[Array, "*n d"], dead: Array, key: PRNGKeyArray) -> None:
        """Move dead codes to random vectors, each as if it had been chosen by one a step."""
        vectors = x.reshape(-1, x.shape[-1])
        drawn = vectors[jax.random.randint(key, dead.shape, 0, len(vectors))]
        one = self.weight[...] * max(1.0, self.restart_below)
        self.codes[...] = jnp.where(dead[:, None], drawn, self.codes[...])
        self.counts[...] = jnp.where(dead, one, self.counts[...])
        self.sums[...] = jnp.where(dead[:, None], one * drawn, self.sums[...])
