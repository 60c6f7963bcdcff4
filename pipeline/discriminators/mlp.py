"""A perceptron that judges latents: FactorVAE's (arXiv 1802.05983) and the AAE's (1511.05644)."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError


class MLP(nnx.Module):
    """Linear layers with leaky ReLUs between them.

    Args:
      hidden: widths of the hidden layers.
      slope: of the leaky ReLU below 0; 0 is a plain one.
      num_outputs: 1, the logit itself, or 2, whose difference is the logit, as FactorVAE has it.
    """

    of_latents = True

    def __init__(
        self,
        *,
        in_channels: int = 10,
        hidden: Sequence[int] = (1000,) * 6,
        slope: float | int = 0.2,
        num_outputs: int = 2,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ):
        if num_outputs not in (1, 2):
            raise ConfigError(f"discriminator.num_outputs={num_outputs} must be 1 or 2")
        self.slope = slope
        self.linears = nnx.List(
            [
                nnx.Linear(
                    width, out, kernel_init=nnx.initializers.he_uniform(), dtype=dtype, rngs=rngs
                )
                for width, out in itertools.pairwise([in_channels, *hidden, num_outputs])
            ]
        )

    def __call__(self, z: Float[Array, "b d"]) -> Float[Array, " b"]:
        """Return the log-odds that latents are of the kind that the loss calls real."""
        *hidden, last = self.linears
        for linear in hidden:
            z = jax.nn.leaky_relu(linear(z), self.slope)
        outputs = last(z).astype(jnp.float32)
        return outputs[:, 0] - outputs[:, 1] if outputs.shape[1] == 2 else outputs[:, 0]
