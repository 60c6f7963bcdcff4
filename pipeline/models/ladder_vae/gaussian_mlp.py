"""Linear layers with batch norm, and networks of them that end in a diagonal Gaussian (1602.02282,
section 2).
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.distributions.continuous import clip_logvar
from pipeline.nn.norm import BatchNorm, Momentum

# max(x, 0.1 x), for MNIST and OMNIGLOT in the paper.
LEAK = 0.1


class Normalized(nnx.Module):
    """A linear layer, then batch norm, which has the bias."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs, dtype: Any):
        self.linear = nnx.Linear(inputs, units, use_bias=False, dtype=dtype, rngs=rngs)
        self.norm = BatchNorm(units)

    def __call__(self, x: Float[Array, "b c"], momentum: Momentum = None) -> Float[Array, "b d"]:
        as_one_pixel = self.linear(x)[:, None, None, :]
        return self.norm(as_one_pixel, momentum)[:, 0, 0, :]


class MLP(nnx.Module):
    """Two layers of `units`, each with a leaky rectifier."""

    def __init__(self, inputs: int, units: int, *, rngs: nnx.Rngs, dtype: Any):
        self.first = Normalized(inputs, units, rngs=rngs, dtype=dtype)
        self.second = Normalized(units, units, rngs=rngs, dtype=dtype)

    def __call__(self, x: Float[Array, "b c"], momentum: Momentum = None) -> Float[Array, "b d"]:
        for layer in (self.first, self.second):
            x = nnx.leaky_relu(layer(x, momentum), LEAK)
        return x


class GaussianMLP(nnx.Module):
    """An MLP, and linear layers from its units to means and log-variances of `latents`."""

    def __init__(self, inputs: int, units: int, latents: int, *, rngs: nnx.Rngs, dtype: Any):
        self.body = MLP(inputs, units, rngs=rngs, dtype=dtype)
        self.moments = Normalized(units, 2 * latents, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: Float[Array, "b c"], momentum: Momentum = None
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Return the mean and the clipped log-variance, float32."""
        mean, logvar = jnp.split(
            self.moments(self.body(x, momentum), momentum).astype(jnp.float32), 2, axis=-1
        )
        return mean, clip_logvar(logvar)
