"""VAEs of YannDubs/disentangling-vae (arXiv 1804.03599); a state dict becomes a run of configs/vae.

The model is pipeline.models.vae. Theirs flattens feature maps as [channels height width], and ours
as [height width channels]; theirs outputs mean and log-variance of each latent in turn, and ours
all means and then all log-variances. Only the encoder and decoder are imported: the discriminator
of a FactorVAE is a separate file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import conv, no_rule, same
from pipeline.importers import Imported, provenance, shapes_of

FILES = ("FILE",)

SIDE, CHANNELS = 4, 32  # size of the smallest feature map
Transform = Callable[[np.ndarray], np.ndarray]


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read a state dict into `model`, which the file does not describe.

    Raises:
      ConfigError: there is no `model`.
      DataError: the file is missing or damaged.
      CheckpointError: it holds another model.
    """
    if model is None:
        raise ConfigError(
            "--config FILE is missing: give the recipe of the weights, such as configs/vae/mnist.py"
        )
    arrays = convert(state_dict.load(paths[0]), shapes_of(model), path=paths[0])
    return Imported(model, arrays, {}, provenance(__name__, paths))


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes` of configs/vae/mnist.py or a similar recipe.

    Raises:
      CheckpointError: the file holds another model.
    """
    depth = sum(name.startswith("encoder.convs.") and name.endswith(".kernel") for name in shapes)
    return state_dict.convert(tensors, shapes, lambda name: _source(name, depth), path=path)


def _source(name: str, depth: int) -> tuple[str, Transform]:
    found = re.fullmatch(r"(encoder|decoder)\.(convs|linears)\.(\d+)\.(kernel|bias)", name)
    if name in ("encoder.posterior.kernel", "encoder.posterior.bias"):
        leaf = "weight" if name.endswith("kernel") else "bias"
        return (
            f"encoder.mu_logvar_gen.{leaf}",
            lambda array: _grouped(array).T if array.ndim == 2 else _grouped(array),
        )
    if not found:
        raise no_rule(name)
    side, kind, index, leaf = found[1], found[2], int(found[3]), found[4]
    theirs = "weight" if leaf == "kernel" else "bias"
    if kind == "linears":
        return f"{side}.lin{index + 1}.{theirs}", _linear(side, index, leaf)
    if side == "encoder":
        module = f"conv{index + 1}" if index < 3 else "conv_64"
        return f"encoder.{module}.{theirs}", conv if leaf == "kernel" else same
    # The first of four transposed convolutions is the additional one for 64x64 images.
    place = index + 4 - depth
    module = f"convT{place}" if place else "convT_64"
    return f"decoder.{module}.{theirs}", _transposed_conv if leaf == "kernel" else same


def _linear(side: str, index: int, leaf: str) -> Transform:
    """Return the transform of a linear layer; two of them read or write a flattened feature map."""
    if (side, index) == ("encoder", 0):
        return (lambda weight: _channels_last(weight.T)) if leaf == "kernel" else same
    if (side, index) == ("decoder", 2):
        return lambda array: _channels_last(array).T
    return np.transpose


def _channels_last(rows: np.ndarray) -> np.ndarray:
    """Reorder rows from [channels height width] to [height width channels]."""
    shape = (CHANNELS, SIDE, SIDE, *rows.shape[1:])
    return np.moveaxis(rows.reshape(shape), 0, 2).reshape(rows.shape)


def _grouped(rows: np.ndarray) -> np.ndarray:
    """Reorder rows from mean, log-variance, mean, ... to all means, then all log-variances."""
    return np.concatenate([rows[0::2], rows[1::2]])


def _transposed_conv(kernel: np.ndarray) -> np.ndarray:
    """Transpose [in out height width] to [height width in out], and flip it as torch does."""
    return kernel.transpose(2, 3, 0, 1)[::-1, ::-1]
