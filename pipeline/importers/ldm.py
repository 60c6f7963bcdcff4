"""The autoencoder of latent diffusion or VQGAN in a single file of the authors.

The file is an autoencoder's own, or a whole checkpoint of Stable Diffusion, whose tensors
"first_stage_model.*" are the autoencoder; as .safetensors, .ckpt or .pt. The network shows in the
names and shapes, but for the groups of its norms: 32, as in all published ones, unless --config
says otherwise. The scaling of the latents is not in the file: a diffusion model has it in its
settings.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import published
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, provenance, shapes_of
from pipeline.published.authors import ldm as naming

FILES = ("FILE",)
_PREFIX = "first_stage_model."
_GROUPS = 32


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its tensors show.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
    """
    (path,) = paths
    tensors = _tensors(path)
    model = recipe(path, tensors) if model is None else model
    rule = naming.rule(published.complete(model), tensors)
    arrays = state_dict.convert(tensors, shapes_of(model), rule, path=path)
    return Imported(model, arrays, {}, provenance(__name__, paths))


def recipe(path: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network in the file. Raises CheckpointError for another kind."""
    try:
        channels = [_width(tensors, level) for level in range(_count(tensors, "down.{}.block.0."))]
        blocks = _count(tensors, "down.0.block.{}.")
        features = len(tensors["encoder.conv_out.weight"])
        latents = tensors["decoder.conv_in.weight"].shape[1]
        colors = tensors["encoder.conv_in.weight"].shape[1]
    except (KeyError, IndexError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a single file of latent diffusion's autoencoder: it has no "
            f"{error.args[0]}"
        ) from None
    levels = [n for n in range(len(channels)) if _has(tensors, f"encoder.down.{n}.attn.0.")]
    codes = tensors.get("quantize.embedding.weight")
    bottleneck: dict[str, Any] = {"name": "gaussian.Gaussian"}
    if codes is not None:
        bottleneck = {"name": "vq.VQ", "num_codes": len(codes)}
    if features != (2 if codes is None else 1) * latents or not channels or not blocks:
        raise CheckpointError(
            f"{path} is neither an AutoencoderKL nor a VQModel: its encoder gives {features} "
            f"channels, and its decoder takes {latents}"
        )
    network: dict[str, Any] = {
        "channels": channels,
        "groups": _GROUPS,
        "attention": _has(tensors, "encoder.mid.attn_1."),
    }
    network |= {"attention_levels": levels} if levels else {}
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "image_channels": colors,
        "latent_channels": latents,
        "quant_convs": "quant_conv.weight" in tensors,
        "encoder": {"name": "ldm.Encoder", "num_blocks": blocks, **network},
        "bottleneck": bottleneck,
        "decoder": {"name": "ldm.Decoder", "num_blocks": blocks + 1, **network},
    }


def _tensors(path: str) -> dict[str, np.ndarray]:
    """Return the tensors of the autoencoder, without the prefix that a whole checkpoint gives it,
    and without those of its training loss.
    """
    if pathlib.Path(path).suffix == ".safetensors":
        tensors = state_dict.load_safetensors(pathlib.Path(path))
    else:
        tensors = state_dict.load(path, within=(("state_dict",),))
    inside = {
        name.removeprefix(_PREFIX): array
        for name, array in tensors.items()
        if name.startswith(_PREFIX)
    }
    found = inside or tensors
    return {name: array for name, array in found.items() if not name.startswith("loss.")}


def _count(tensors: Mapping[str, np.ndarray], pattern: str) -> int:
    """Return the number of parts encoder.PATTERN with the numbers 0, 1 and so on."""
    rule = re.compile("encoder." + re.escape(pattern).replace(r"\{\}", r"(\d+)"))
    return len({found[1] for name in tensors if (found := rule.match(name))})


def _width(tensors: Mapping[str, np.ndarray], level: int) -> int:
    return len(tensors[f"encoder.down.{level}.block.0.conv1.weight"])


def _has(tensors: Mapping[str, np.ndarray], start: str) -> bool:
    return any(name.startswith(start) for name in tensors)
