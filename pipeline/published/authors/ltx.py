"""The names of Lightricks, in the single files of LTX-Video and LTX-2.

Everything of the codec begins with "vae.". The encoder and the decoder are each one list of blocks,
down_blocks and up_blocks: groups of residual blocks, halvings or doublings, and single residual
blocks where the width changes. Statistics of latents are among the tensors.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.formats.state_dict import Layout, no_rule
from pipeline.published import ltx

ENCODERS = ltx.ENCODERS
PREFIX = "vae."
MEAN, STD = (f"{PREFIX}per_channel_statistics.{name}" for name in ("mean-of-means", "std-of-means"))


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the authors' names."""
    del names
    places = _places(model["encoder"], "encoder") | _places(model["decoder"], "decoder")

    def source(name: str) -> tuple[str, Layout]:
        module, theirs, layout = ltx.split(name)
        for ours, place in places.items():
            if module == ours or module.startswith(f"{ours}."):
                inner = _inner(module[len(ours) + 1 :], name)
                return ".".join(
                    part for part in (f"{PREFIX}{place}", inner, theirs) if part
                ), layout
        return f"{PREFIX}{_end(module, theirs, name)}", layout

    return source


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the statistics of latents, of which a codec without any has 0 and 1."""
    return ltx.buffers(latents, model["latent_channels"], MEAN, STD)


def _places(network: Mapping[str, Any], side: str) -> dict[str, str]:
    """Return the place of each of our modules in the list of blocks, in their order."""
    is_encoder = side == "encoder"
    counts, kinds = network["num_blocks"], network["downs" if is_encoder else "ups"]
    modules = [] if is_encoder else ["middle"]
    for level, kind in enumerate(kinds):
        before, after = network["channels"][level : level + 2]
        resamples = kind != "none"
        if is_encoder:
            group, changes = counts[level], before != after and kind in ("conv", "none")
            inner = dict(blocks=group, down=resamples, widen=changes)
        else:
            changes = before != after * network["reductions"][level]
            inner = dict(narrow=changes, up=resamples, blocks=counts[level + 1])
        modules += [f"levels.{level}.{name}" for name, exists in inner.items() if exists]
    modules += ["middle"] if is_encoder else []
    blocks = "down_blocks" if is_encoder else "up_blocks"
    return {f"{side}.{name}": f"{side}.{blocks}.{index}" for index, name in enumerate(modules)}


def _inner(rest: str, name: str) -> str:
    """Return the name of a layer inside a block of the list."""
    if rest in ("", "conv"):  # a strided convolution, or one that packs
        is_resampling = ".down." in name or ".up." in name
        return f"conv.{rest}".rstrip(".") if is_resampling else rest
    if found := re.fullmatch(r"embedding\.linear([12])", rest):
        return f"{ltx.EMBEDDING}{found[1]}"
    if found := re.fullmatch(r"blocks\.(\d+)(?:\.(\w+))?", rest):
        block = f"res_blocks.{found[1]}"
        return f"{block}.{_in_block(found[2])}" if found[2] else block
    if re.fullmatch(r"\w+", rest):
        return _in_block(rest)
    raise no_rule(name)


def _in_block(part: str) -> str:
    return {"shortcut_norm": "norm3.norm", "shortcut": "conv_shortcut"}.get(part, f"{part}.conv")


def _end(module: str, theirs: str, name: str) -> str:
    """Return the name of a tensor outside the lists of blocks."""
    side, _, rest = module.partition(".")
    if rest in ("conv_in", "conv_out"):
        return f"{module}.conv.{theirs}"
    if found := re.fullmatch(r"embedding\.linear([12])", rest):
        return f"{side}.last_{ltx.EMBEDDING}{found[1]}.{theirs}"
    if rest == "":
        return f"{side}.{theirs.replace('scale_shift_table', 'last_scale_shift_table')}"
    raise no_rule(name)
