"""The names of Wan's authors' files, such as Wan2.1_VAE.pth and Wan2.2_VAE.pth.

Wan 2.1 has one list of blocks and resamplers a side, and Wan 2.2 a list for each level.
"""

import functools
import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.formats.state_dict import Layout, no_rule
from pipeline.published.wan import ENCODERS as ENCODERS
from pipeline.published.wan import source

_ENDS = {"conv_in": "conv1", "norm_out": "head.0", "conv_out": "head.2"}
_IN_BLOCK = {"norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3"}
_IN_BLOCK |= {"conv2": "residual.6", "shortcut": "shortcut"}
_ATTENTION = {"norm": "norm", "out": "proj"}
_TOP = {"quant_conv": "conv1", "post_quant_conv": "conv2"}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the authors' names."""
    del names
    residual = model["encoder"]["name"] == "video.wan_residual.Encoder"
    blocks = {side: model[side]["num_blocks"] for side in ("encoder", "decoder")}
    return functools.partial(source, functools.partial(_module, residual, blocks))


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nothing: the authors keep the statistics of the latents in their code."""
    del model, latents
    return {}


def _module(residual: bool, blocks: Mapping[str, int], side: str, rest: str) -> str:
    """Return the authors' name of one of our modules."""
    if not side:
        return _TOP[rest]
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}"
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"{side}.middle.{2 * int(found[1]) - 2}.{_IN_BLOCK[found[2]]}"
    if found := re.fullmatch(r"middle\.attention\.(\w+)", rest):
        return f"{side}.middle.1.{_ATTENTION.get(found[1], 'to_qkv')}"
    found = re.fullmatch(r"levels\.(\d+)\.(?:blocks\.(\d+)\.(\w+)|resample\.(conv|time))", rest)
    if not found:
        raise no_rule(f"{side}.{rest}")
    way = "downsamples" if side == "encoder" else "upsamples"
    level, block = int(found[1]), int(found[2] or blocks[side])
    layer = {"conv": "resample.1", "time": "time_conv"}.get(found[4]) or _IN_BLOCK[found[3]]
    if residual:
        return f"{side}.{way}.{level}.{way}.{block}.{layer}"
    return f"{side}.{way}.{level * (blocks[side] + 1) + block}.{layer}"
