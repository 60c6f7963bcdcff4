"""Tencent's single file of HunyuanVideo's codec, whose tensors have diffusers' names.

The network shows in the names and shapes; group norms have 32 groups, as the published one's.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import published
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, check_hidden_settings, provenance, shapes_of
from pipeline.published import hunyuan

FILES = ("FILE",)
_PREFIX = "vae."


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its tensors show.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
      ConfigError: `model` has other settings than the weights were trained with.
    """
    (path,) = paths
    is_safe = pathlib.Path(path).suffix == ".safetensors"
    read_file: Any = state_dict.load_safetensors if is_safe else state_dict.load
    tensors = read_file(pathlib.Path(path) if is_safe else path)
    tensors = {name.removeprefix(_PREFIX): array for name, array in tensors.items()}
    settings = _settings(path, tensors)
    released = hunyuan.recipe(settings)
    model = released if model is None else model
    check_hidden_settings(model, released, hunyuan.HIDDEN, paths)
    rule = hunyuan.rule(published.complete(model), tensors)
    arrays = state_dict.convert(tensors, shapes_of(model), rule, path=path)
    latents = hunyuan.read_statistics(settings, tensors)
    return Imported(model, arrays, latents, provenance(__name__, paths))


def _settings(path: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return diffusers' settings. Raises CheckpointError if the tensors are not such a codec's."""
    try:
        block = "encoder.down_blocks.{}.resnets.{}.conv1.conv.weight"
        widths = [tensors[block.format(level, 0)].shape[0] for level in range(4)]
        count = sum(block.format(0, number) in tensors for number in range(100))
        latents, colors = (
            tensors["post_quant_conv.weight"].shape[0],
            tensors["encoder.conv_in.conv.weight"].shape[1],
        )
    except (KeyError, IndexError) as error:
        raise CheckpointError(
            f"{path} is not a single file of HunyuanVideo's codec: it has no {error.args[0]}"
        ) from None
    return {
        "in_channels": colors,
        "out_channels": colors,
        "latent_channels": latents,
        "block_out_channels": widths,
        "layers_per_block": count,
        "norm_num_groups": 32,
        "mid_block_add_attention": "encoder.mid_block.attentions.0.to_q.weight" in tensors,
    }
