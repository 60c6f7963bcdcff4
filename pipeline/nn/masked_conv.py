"""Autoregressive convolutions, whose masks order the pixels and the channels.

An output sees the pixels before its own in raster order. At its own pixel it sees the groups of
channels before its own, and its own group too unless `strict`; there are as many groups as the
narrower side has channels. `mirrored` reverses the order of the pixels but not of the channels.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.nn.depthwise import DepthwiseConv
from pipeline.nn.weight_norm import WeightNormConv


class MaskedConv(WeightNormConv):
    """A masked convolution (1601.06759), weight-normalized after masking (2007.03898)."""

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
        return self.kernel[...] * jnp.asarray(self._mask(size, self._center_mask(inputs, outputs)))

    def _center_mask(self, inputs: int, outputs: int) -> np.ndarray:
        """Return which inputs [c d] an output sees at its own pixel."""
        groups = min(inputs, outputs)
        input_group = np.arange(inputs) * groups // inputs
        output_group = np.arange(outputs) * groups // outputs
        is_seen = np.less if self.strict else np.less_equal
        return is_seen(input_group[:, None], output_group[None, :])

    def _mask(self, size: int, center: np.ndarray) -> np.ndarray:
        mask = np.zeros((size, size, *center.shape), np.float32)
        middle = size // 2
        mask[:middle] = 1
        mask[middle, :middle] = 1
        mask[middle, middle] = center
        return mask[::-1, ::-1].copy() if self.mirrored else mask


class MaskedDepthwiseConv(DepthwiseConv, MaskedConv):
    """A masked depthwise convolution; a channel sees itself at its own pixel."""

    def _center_mask(self, inputs: int, outputs: int) -> np.ndarray:
        return np.ones((inputs, outputs), bool)
