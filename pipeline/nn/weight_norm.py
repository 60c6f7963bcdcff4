"""Weight normalization (1602.07868): a direction and a norm for each output channel."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.nn.conv import Conv


class WeightNormConv(Conv):
    """A convolution with kernel exp(log_norm) * v / (|v| + 1e-5), one norm per output channel.

    `log_norm` is initialized to log(gain * (|v| + 0.01)), so that the kernel is initially close to
    gain * v; the bias is initialized as torch's default. Both constants are NVAE's (2007.03898).
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
        """Return v: the parameter, or in subclasses a masked one."""
        return self.kernel[...]

    def weight(self) -> Float[Array, "u v c d"]:
        direction = self.direction()
        return direction * (jnp.exp(self.log_norm[...]) / (_norm(direction) + 1e-5))


@jax.jit  # one program per shape and not one per operation, when run eagerly
def _first_log_norm(direction: Float[Array, "u v c d"], gain: Any) -> Float[Array, " d"]:
    return jnp.log(gain * (_norm(direction) + 1e-2))


def _norm(kernel: Float[Array, "u v c d"]) -> Float[Array, " d"]:
    return jnp.sqrt(jnp.square(kernel).sum(axis=(0, 1, 2)))
