"""The names of latent diffusion and VQGAN, which are those of Stable Diffusion's single files.

Resolutions of the decoder are counted from the image's down, and the attention's linear maps are
1x1 convolutions.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.formats.state_dict import Layout, conv, no_rule, pointwise, same

ENCODERS = ("ldm.Encoder",)
_ATTENTION = {"query": "q", "key": "k", "value": "v", "out": "proj_out", "norm": "norm"}
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names of latent diffusion."""
    del names
    last = len(model["encoder"]["channels"]) - 1
    return lambda name: _source(name, last)


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nothing: the scaling of the latents is in the diffusion model's settings."""
    del model, latents
    return {}


def _source(name: str, last: int) -> tuple[str, Layout]:
    if name == "bottleneck.codebook.codes":
        return "quantize.embedding.weight", same
    module, _, leaf = name.rpartition(".")
    if leaf not in _LEAVES:
        raise no_rule(name)
    is_linear = ".attention" in module
    layout = (pointwise(2) if is_linear else conv) if leaf == "kernel" else same
    return f"{_module(module, name, last)}.{_LEAVES[leaf]}", layout


def _module(module: str, name: str, last: int) -> str:
    if module in ("quant_conv", "post_quant_conv"):
        return module
    side, _, rest = module.partition(".")
    way = "down" if side == "encoder" else "up"
    if rest in ("conv_in", "norm_out", "conv_out"):
        return module
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"{side}.mid.block_{found[1]}.{_in_block(found[2])}"
    if found := re.fullmatch(r"middle\.attention\.(\w+)", rest):
        return f"{side}.mid.attn_1.{_ATTENTION[found[1]]}"
    found = re.fullmatch(r"levels\.(\d+)\.(.+)", rest)
    if not found:
        raise no_rule(name)
    level = f"{side}.{way}.{int(found[1]) if side == 'encoder' else last - int(found[1])}"
    if found[2] == "resample":
        return f"{level}.{way}sample.conv"
    if inner := re.fullmatch(r"blocks\.(\d+)\.(\w+)", found[2]):
        return f"{level}.block.{inner[1]}.{_in_block(inner[2])}"
    if inner := re.fullmatch(r"attentions\.(\d+)\.(\w+)", found[2]):
        return f"{level}.attn.{inner[1]}.{_ATTENTION[inner[2]]}"
    raise no_rule(name)


def _in_block(part: str) -> str:
    return "nin_shortcut" if part == "shortcut" else part
