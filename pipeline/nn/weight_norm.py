"""Weight normalisation (1602.07868): a kernel is a direction for each output channel, times a length."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.conv import Conv


class WeightNormConv(Conv):
    """A convolution whose kernel is exp(log_norm) * v / (|v| + 1e-5), with the norm over all but the outputs.

    `log_norm` starts at log(|v| + 0.01), so that the kernel begins almost as v is, times `gain`; the bias as torch's.
    NVAE (2007.03898) has both constants so.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        *,
        gain: float = 1.0,
        **settings: Any,
    ):
        settings = {"bias_scale": 1.0} | settings
        super().__init__(in_features, out_features, kernel_size, **settings)
        self.log_norm = nnx.Param(_first_log_norm(self.direction(), gain))

    def direction(self) -> Float[Array, "u v c d"]:
        """v: the parameter, or what a kind of layer leaves of it."""
        return self.kernel[...]

    def weight(self) -> Float[Array, "u v c d"]:
        direction = self.direction()
        return direction * (jnp.exp(self.log_norm[...]) / (_norm(direction) + 1e-5))


@jax.jit  # one program a shape, and not one an operation, where weights are made eagerly
def _first_log_norm(direction: Float[Array, "u v c d"], gain: Any) -> Float[Array, " d"]:
    return jnp.log(gain * (_norm(direction) + 1e-2))


def _norm(kernel: Float[Array, "u v c d"]) -> Float[Array, " d"]:
    return jnp.sqrt(jnp.square(kernel).sum(axis=(0, 1, 2)))
