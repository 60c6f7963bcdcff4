"""TAESD of madebyollin/taesd, tiny autoencoders for diffusion latents; two files become a codec.

The networks are in pipeline.networks.taesd. Each file is a sequence of numbered layers; tensors are
named "encoder.3.weight" and so on here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import Found, conv, no_rule, same
from pipeline.importers import Imported, provenance, shapes_of

FILES = ("ENCODER", "DECODER")
# Numbers of the layers in the files. In the decoder, 0 is the clamp, 2 a ReLU, and upsampling
# counts.
_PLACES = {
    "encoder.conv_in": 0,
    "encoder.downs.0": 2,
    "encoder.downs.1": 6,
    "encoder.downs.2": 10,
    "encoder.conv_out": 14,
    "decoder.conv_in": 1,
    "decoder.ups.0": 7,
    "decoder.ups.1": 12,
    "decoder.ups.2": 17,
    "decoder.conv_out": 19,
}
_FIRST_BLOCKS = {"encoder": (1, 3, 7, 11), "decoder": (3, 8, 13, 18)}
_POOL = {"conv1": 0, "norm": 1, "conv2": 3}
_LEAVES = {"kernel": ("weight", conv), "scale": ("weight", same), "bias": ("bias", same)}


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read both files into `model`, or into the model that they describe.

    Raises:
      DataError: a file is missing or damaged.
      CheckpointError: they hold another kind of model, or one that does not fit.
    """
    tensors = load(paths)
    model = recipe(paths, tensors) if model is None else model
    arrays = convert(tensors, shapes_of(model), path=" and ".join(paths))
    return Imported(model, arrays, {}, provenance(__name__, paths))


def load(paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the tensors of both files. Raises DataError if one is missing or damaged."""
    sides = zip(("encoder", "decoder"), paths)
    return {
        f"{side}.{name}": array
        for side, path in sides
        for name, array in state_dict.load(path).items()
    }


def recipe(paths: Sequence[str], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network in the files. Raises CheckpointError for another kind."""
    last = tensors.get(f"encoder.{_PLACES['encoder.conv_out']}.weight")
    if last is None:
        raise CheckpointError(
            f"{' and '.join(paths)}: the first file is not the encoder of a TAESD of 8x8 pixels"
        )
    pool = any(".pool." in name for name in tensors)
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "latent_channels": len(last),
        "encoder": {"name": "taesd.Encoder", "pool": pool},
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {"name": "taesd.Decoder", "pool": pool},
    }


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes`. Raises CheckpointError for another model."""
    pooled = any(".pool." in name for name in tensors)
    hint = f" (set model.encoder.pool={pooled} and model.decoder.pool={pooled})"
    hint = "" if pooled == any(".pool." in name for name in shapes) else hint
    return state_dict.convert(tensors, shapes, _source, path=path, hint=hint)


def _source(name: str) -> Found:
    module, _, leaf = name.rpartition(".")
    if leaf not in _LEAVES:
        raise no_rule(name)
    theirs, transform = _LEAVES[leaf]
    return f"{_module(module, name)}.{theirs}", transform


def _module(module: str, name: str) -> str:
    side = module.partition(".")[0]
    if module in _PLACES:
        return f"{side}.{_PLACES[module]}"
    found = re.fullmatch(
        r"(encoder|decoder)\.stages\.(\d)\.blocks\.(\d)\.(?:convs\.(\d)|pool\.(\w+))", module
    )
    if not found or (found[5] and found[5] not in _POOL):
        raise no_rule(name)
    block = f"{side}.{_FIRST_BLOCKS[side][int(found[2])] + int(found[3])}"
    # There is a ReLU between two convolutions.
    return f"{block}.conv.{2 * int(found[4])}" if found[4] else f"{block}.pool.{_POOL[found[5]]}"
