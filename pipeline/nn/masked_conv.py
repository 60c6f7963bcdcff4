"""Convolutions that see only what comes before a pixel in raster order, and of its own channels the earlier ones.

Channels are in as many groups as the narrower side has; a layer may see the groups before an output's own at the same
pixel, and that group too unless `strict`. `mirrored` turns the order of the pixels, and not that of the channels.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.nn.depthwise import DepthwiseConv
from pipeline.nn.weight_norm import WeightNormConv


class MaskedConv(WeightNormConv):
    """A masked convolution with weight normalisation of what the mask leaves (2007.03898; masks as in 1601.06759)."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int,
        *,
        strict: bool = False,
        mirrored: bool = False,
        **settings: Any,
    ):
        self.strict, self.mirrored = strict, mirrored
        super().__init__(in_features, out_features, kernel_size, **settings)

    def direction(self) -> Float[Array, "u v c d"]:
        size, _, inputs, outputs = self.kernel[...].shape
        return self.kernel[...] * jnp.asarray(
            self._mask(size, self._at_the_centre(inputs, outputs))
        )

    def _at_the_centre(self, inputs: int, outputs: int) -> np.ndarray:
        """Which inputs [c d] an output sees at its own pixel."""
        groups = min(inputs, outputs)
        of_input = np.arange(inputs) * groups // inputs
        of_output = np.arange(outputs) * groups // outputs
        seen = np.less if self.strict else np.less_equal
        return seen(of_input[:, None], of_output[None, :])

    def _mask(self, size: int, centre: np.ndarray) -> np.ndarray:
        mask = np.zeros((size, size, *centre.shape), np.float32)
        middle = size // 2
        mask[:middle] = 1
        mask[middle, :middle] = 1
        mask[middle, middle] = centre
        return mask[::-1, ::-1].copy() if self.mirrored else mask


class MaskedDepthwiseConv(DepthwiseConv, MaskedConv):
    """A kernel of its own for each channel, which sees the channel at its own pixel too."""

    def _at_the_centre(self, inputs: int, outputs: int) -> np.ndarray:
        return np.ones((inputs, outputs), bool)
