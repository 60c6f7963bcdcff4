"""The sizes of VQ-VAE's networks, as counted from the authors' shapes."""

import jax
import pytest
from flax import nnx

from pipeline.networks import residual_stack


@pytest.mark.parametrize(
    "side, inputs, outputs, halvings, count",
    [
        # The authors' encoder has 364,160 and ends without the 1x1 convolution to 64, of 8,256.
        (residual_stack.Encoder, 3, 64, 2, 364_160 + 8_256),
        (residual_stack.Decoder, 64, 3, 2, 290_307),
        # VQ-VAE-2's upper level halves once, and its decoder doubles 128 channels to 64.
        (residual_stack.Encoder, 128, 64, 1, 287_232 + 8_256),
        (residual_stack.Decoder, 64, 64, 1, 287_232),
    ],
)
def test_parameters(side, inputs, outputs, halvings, count):
    network = nnx.eval_shape(
        lambda: side(in_channels=inputs, out_channels=outputs, halvings=halvings, rngs=nnx.Rngs(0))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network))) == count
