"""The names of TAESD: the numbers of layers, after taesd_encoder and taesd_decoder.

The author has the encoder and the decoder in two files; these are the names of both in one, which
ComfyUI gives them.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline import models
from pipeline.formats.state_dict import Layout, conv, no_rule, same

ENCODERS = ("taesd.Encoder",)
_POOL = {"conv1": 0, "norm": 1, "conv2": 3}
_LEAVES = {"kernel": ("weight", conv), "scale": ("weight", same), "bias": ("bias", same)}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names of both networks in one file."""
    del names
    given = models.settings(model)
    blocks = {side: given.get(f"{side}.num_blocks", 3) for side in ("encoder", "decoder")}

    def in_one_file(name: str) -> tuple[str, Layout]:
        theirs, layout = source(name, blocks)
        return f"taesd_{theirs}", layout

    return in_one_file


def source(name: str, blocks: Mapping[str, int]) -> tuple[str, Layout]:
    """Return the tensor of a parameter of ours, such as "encoder.3.conv.0.weight".

    Args:
      blocks: the number of blocks at each resolution of the encoder and of the decoder.
    """
    module, _, leaf = name.rpartition(".")
    if leaf not in _LEAVES:
        raise no_rule(name)
    theirs, layout = _LEAVES[leaf]
    return f"{_module(module, name, blocks)}.{theirs}", layout


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nothing: latents are those of the teacher, whose settings have the scaling."""
    del model, latents
    return {}


def conv_out(num_blocks: int) -> int:
    """Return the number of the encoder's last layer."""
    return 2 + 3 * (num_blocks + 1)


def _module(module: str, name: str, blocks: Mapping[str, int]) -> str:
    side, _, rest = module.partition(".")
    if side not in blocks:
        raise no_rule(name)
    is_encoder, count = side == "encoder", blocks[side]
    # The decoder begins with a clamp, and has a ReLU after the first convolution; a convolution
    # comes before the blocks of a resolution in the encoder, and after them, behind the upsampling,
    # in the decoder.
    stride = count + 1 if is_encoder else count + 2
    if rest == "conv_in":
        return f"{side}.{0 if is_encoder else 1}"
    if rest == "conv_out":
        return f"{side}.{conv_out(count) if is_encoder else 4 + 3 * stride}"
    if found := re.fullmatch(r"downs\.(\d)", rest):
        return f"{side}.{2 + int(found[1]) * stride}"
    if found := re.fullmatch(r"ups\.(\d)", rest):
        return f"{side}.{4 + int(found[1]) * stride + count}"
    found = re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(?:convs\.(\d)|pool\.(\w+))", rest)
    if not found or (found[4] and found[4] not in _POOL):
        raise no_rule(name)
    stage = int(found[1])
    first = 3 + stage * stride if not is_encoder else 3 + (stage - 1) * stride if stage else 1
    block = f"{side}.{first + int(found[2])}"
    # There is a ReLU between two convolutions.
    return f"{block}.conv.{2 * int(found[3])}" if found[3] else f"{block}.pool.{_POOL[found[4]]}"
