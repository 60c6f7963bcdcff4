"""The names of TAESD: the numbers of layers, after taesd_encoder and taesd_decoder.

The author has the encoder and the decoder in two files; these are the names of both in one, which
ComfyUI gives them.
"""

import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import models
from pipeline.formats.state_dict import Layout, conv, no_rule, same
from pipeline.networks.taesd import blocks_of

ENCODERS = ("taesd.Encoder",)
_POOL = {"conv1": 0, "norm": 1, "conv2": 3}
_LEAVES = {"kernel": ("weight", conv), "scale": ("weight", same), "bias": ("bias", same)}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names of both networks in one file."""
    del names
    given = models.settings(model)
    blocks = {s: blocks_of(given.get(f"{s}.num_blocks", 3)) for s in ("encoder", "decoder")}

    def in_one_file(name: str) -> tuple[str, Layout]:
        theirs, layout = source(name, blocks)
        return f"taesd_{theirs}", layout

    return in_one_file


def source(name: str, blocks: Mapping[str, Sequence[int]]) -> tuple[str, Layout]:
    """Return the tensor of a parameter of ours, such as "encoder.3.conv.0.weight".

    Args:
      blocks: the number of blocks at each resolution of the encoder and of the decoder, the image's
        first.
    """
    module, _, leaf = name.rpartition(".")
    if leaf not in _LEAVES:
        raise no_rule(name)
    theirs, layout = _LEAVES[leaf]
    return f"{_module(module, name, blocks)}.{theirs}", layout


def blocks_in(numbers: Mapping[int, bool]) -> tuple[int, ...]:
    """Return how many blocks there are between two convolutions, in the order of the layers.

    Args:
      numbers: of the layers with tensors; true for a block and false for a convolution.
    """
    counts: list[int] = []
    for _, is_block in sorted(numbers.items()):
        if is_block and counts:
            counts[-1] += 1
        elif not is_block:
            counts.append(0)
    return tuple(counts[:-1])


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nothing: latents are those of the teacher, whose settings have the scaling."""
    del model, latents
    return {}


def _module(module: str, name: str, blocks: Mapping[str, Sequence[int]]) -> str:
    side, _, rest = module.partition(".")
    if side not in blocks:
        raise no_rule(name)
    # The decoder begins with a clamp, and has a ReLU after the first convolution; a convolution
    # comes before the blocks of a resolution in the encoder, and after them, behind the upsampling,
    # in the decoder.
    is_encoder = side == "encoder"
    counts, conv_in = (blocks[side], 0) if is_encoder else (blocks[side][::-1], 1)
    skipped = 1 if is_encoder else 2  # layers between the blocks of two resolutions
    firsts = [conv_in + skipped]
    for count in counts:
        firsts.append(firsts[-1] + count + skipped)
    if rest == "conv_in":
        return f"{side}.{conv_in}"
    if rest == "conv_out":
        return f"{side}.{firsts[-1] - skipped}"
    if found := re.fullmatch(r"(downs|ups)\.([012])", rest):
        return f"{side}.{firsts[int(found[2]) + 1] - 1}"
    found = re.fullmatch(r"stages\.([0-3])\.blocks\.(\d+)\.(?:convs\.(\d)|pool\.(\w+))", rest)
    if not found or (found[4] and found[4] not in _POOL):
        raise no_rule(name)
    block = f"{side}.{firsts[int(found[1])] + int(found[2])}"
    # There is a ReLU between two convolutions.
    return f"{block}.conv.{2 * int(found[3])}" if found[3] else f"{block}.pool.{_POOL[found[4]]}"
