"""TAEHV of madebyollin/taehv, tiny codecs for the latents of video models; a file becomes a codec.

All variants are recognised by the shapes of their tensors, except that the codec for CogVideoX
(taecvx) has the same ones as the base: of an even number of latents its author keeps 3 frames more,
which are dropped here. The codec for MiniMax-H3 (taeh3) is refused: it has windows of 17 frames.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import published
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, provenance, shapes_of
from pipeline.published.authors import taehv as naming

FILES = ("FILE",)
_BLOCKS, _LEVELS = 3, range(3)
_H3_LATENTS = 24


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its shapes describe.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
    """
    (path,) = paths
    file = pathlib.Path(path)
    is_safe = file.suffix == ".safetensors"
    tensors = state_dict.load_safetensors(file) if is_safe else state_dict.load(path)
    model = recipe(paths, tensors) if model is None else model
    rule = naming.rule(published.complete(model), tensors)
    arrays = state_dict.convert(tensors, shapes_of(model), rule, path=path)
    return Imported(model, arrays, {}, provenance(__name__, paths))


def recipe(paths: Sequence[str], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network in the file. Raises CheckpointError for another kind."""
    try:
        return _recipe(paths[0], tensors)
    except (KeyError, IndexError, ValueError):
        raise CheckpointError(
            f"{paths[0]} is not a TAEHV: its encoder and decoder would be numbered layers of "
            "convolutions"
        ) from None


def _recipe(path: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    is_super = "decoder.0.weight" in tensors
    width, pixels = tensors["encoder.0.weight"].shape[:2]
    conv_out = naming.first_block("encoder", 3, False, _BLOCKS)
    latents = len(tensors[f"encoder.{conv_out}.weight"])
    patch = round((pixels / 3) ** 0.5)
    if patch == 2 and latents == _H3_LATENTS:
        raise CheckpointError(
            f"{path} is taeh3, whose clips are coded in windows of 17 frames: we lack these"
        )
    pools = [
        tensors[f"encoder.{naming.first_block('encoder', level, False, _BLOCKS)}.conv.weight"]
        for level in _LEVELS
    ]
    firsts = [naming.first_block("decoder", level, is_super, _BLOCKS) for level in _LEVELS]
    after = 3 if is_super else 1
    grows = [tensors[f"decoder.{first + _BLOCKS + after}.conv.weight"].shape for first in firsts]
    if is_super:
        inner = [shape[1] for shape in grows]
        channels = [len(tensors["decoder.0.weight"]), *inner]
    else:
        ups = [tensors[f"decoder.{first + _BLOCKS + 2}.weight"].shape for first in firsts]
        channels = [ups[0][1], *(shape[0] for shape in ups)]
    name = "taehv_super" if is_super else "taehv"
    up_in_time = [shape[0] == 2 * shape[1] for shape in grows]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "latent_channels": latents,
        "encoder": {
            "name": "video.taehv.Encoder",
            "width": width,
            "num_blocks": _BLOCKS,
            "in_time": [pool.shape[1] == 2 * width for pool in pools],
            "patch": patch,
        },
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {
            "name": f"video.{name}.Decoder",
            "channels": channels,
            "num_blocks": _BLOCKS,
            "in_time": up_in_time,
            "patch": patch,
        },
    }
