"""Wan's video codecs under the authors' names, as Wan2.1_VAE.pth; a file becomes a codec.

The file is a torch state dict, which is read without running code in it, or safetensors, and is
recognised by the shapes in it: Wan 2.1 (pipeline.networks.video.wan) or Wan 2.2 (wan_residual).
"""

import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import published
from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, provenance, shapes_of
from pipeline.published.authors import wan as naming
from pipeline.published.wan import MEAN, STD

FILES = ("FILE",)
# Statistics of the latents of Wan 2.2, of the authors' code.
_MEAN22 = [-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542]
_MEAN22 += [0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109]
_MEAN22 += [0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899]
_MEAN22 += [-0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748]
_MEAN22 += [0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667]
_STD22 = [0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344]
_STD22 += [0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804]
_STD22 += [0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999]
_STD22 += [0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887]
_STD22 += [0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744]
# By whether it is Wan 2.2, and the number of latent channels.
_STATISTICS = {(False, 16): (MEAN, STD), (True, 48): (_MEAN22, _STD22)}
_WAYS = {"encoder": "downsamples", "decoder": "upsamples"}


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its tensors describe.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
    """
    (path,) = paths
    file = pathlib.Path(path)
    is_safetensors = file.suffix == ".safetensors"
    tensors = state_dict.load_safetensors(file) if is_safetensors else state_dict.load(path)
    released = recipe(tensors, path)
    model = released if model is None else model
    whole = published.complete(model)
    if whole.get("encoder", {}).get("name") not in naming.ENCODERS:
        raise CheckpointError(f"{path} is Wan's: the recipe's model must be one of configs/wan")
    rule = naming.rule(whole, tensors)
    arrays = state_dict.convert(tensors, shapes_of(model), rule, path=path)
    kind = (_is_residual(tensors), released["latent_channels"])
    statistics = _STATISTICS.get(kind)
    latents = latent_stats.summary(*statistics) if statistics else {}
    return Imported(model, arrays, latents, provenance(__name__, paths))


def recipe(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, Any]:
    """Return config.model of the network in the file.

    Raises:
      CheckpointError: it holds another kind of network.
    """
    residual = _is_residual(tensors)
    try:
        patch = math.isqrt(tensors["encoder.conv1.weight"].shape[1] // 3) if residual else 1
        encoder, decoder = (_network(tensors, side, residual, patch) for side in _WAYS)
        latents = len(tensors["conv2.weight"])
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{path} is not a codec of Wan's authors: it has no tensor {error}"
        ) from None
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "latent_channels": latents,
        "quant_convs": True,
        "encoder": encoder,
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": decoder,
    }


def _is_residual(tensors: Mapping[str, np.ndarray]) -> bool:
    return "encoder.downsamples.0.downsamples.0.residual.2.weight" in tensors


def _network(
    tensors: Mapping[str, np.ndarray], side: str, residual: bool, patch: int
) -> dict[str, Any]:
    """Return the settings of a network, from the names and shapes of its tensors."""
    way = _WAYS[side]
    place = rf"{side}\.{way}\.(\d+)\." + (rf"{way}\.(\d+)\." if residual else "")
    resample = re.compile(place + r"resample\.1\.weight")
    found = [match for match in map(resample.fullmatch, tensors) if match]
    places = sorted(tuple(map(int, match.groups())) for match in found)
    if not places:
        raise KeyError(f"{side}.{way}.*.resample.1.weight")
    blocks = places[0][-1]
    resamplers = [f"{side}.{way}." + f".{way}.".join(map(str, each)) for each in places]
    in_time = [f"{each}.time_conv.weight" in tensors for each in resamplers]
    levels = len(places) + 1
    firsts = (
        f"{side}.{way}.{level}.{way}.0" if residual else f"{side}.{way}.{level * (blocks + 1)}"
        for level in range(levels)
    )
    channels = [len(tensors[f"{first}.residual.2.weight"]) for first in firsts]
    if side == "decoder":
        channels, in_time = channels[::-1], in_time[::-1]
    kind = "wan_residual" if residual else "wan"
    return {
        "name": f"video.{kind}.{side.capitalize()}",
        "channels": channels,
        "num_blocks": blocks,
        "in_time": in_time,
        **({"patch": patch} if residual else {}),
    }
