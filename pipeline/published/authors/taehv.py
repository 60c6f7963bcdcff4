"""The names of TAEHV: the numbers of the layers of its encoder and its decoders."""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline import models
from pipeline.formats.state_dict import Layout, conv, no_rule, same

ENCODERS = ("video.taehv.Encoder",)
_SUPER_PARTS = {"depthwise": 0, "wide": 1, "out": 3}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del names
    given = models.settings(model)
    is_super = given["decoder.name"] == "video.taehv_super.Decoder"
    blocks = {side: given[f"{side}.num_blocks"] for side in ("encoder", "decoder")}

    def source(name: str) -> tuple[str, Layout]:
        module, _, leaf = name.rpartition(".")
        side, _, rest = module.partition(".")
        if side not in blocks or leaf not in ("kernel", "bias"):
            raise no_rule(name)
        number = _numbers(side, is_super and side == "decoder", blocks[side], rest)
        if number is None:
            raise no_rule(name)
        place = f"{side}.{number}"
        return (f"{place}.weight", conv) if leaf == "kernel" else (f"{place}.bias", same)

    return source


def buffers(model: Mapping[str, Any], latents: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return nothing: the latents are normalized."""
    del model, latents
    return {}


def first_block(side: str, level: int, is_super: bool, blocks: int) -> int:
    """Return the number of the first layer of a level, or of what follows the last one."""
    if side == "encoder":  # after a convolution and its ReLU
        return 2 + level * (2 + blocks)
    # After a clamp, a convolution and its ReLU, or in the larger one after a convolution.
    return 1 + level * (blocks + 4) if is_super else 3 + level * (blocks + 3)


def _numbers(side: str, is_super: bool, blocks: int, rest: str) -> str | None:
    """Return their name of a module of ours, within the network."""
    after = first_block(side, 3, is_super, blocks)
    if rest == "conv_in":
        return "1" if side == "decoder" and not is_super else "0"
    if rest == "conv_out":  # in the small decoder behind a ReLU
        return str(after + (side == "decoder" and not is_super))
    found = re.fullmatch(r"levels\.(\d)\.(pool|down|grow|up|blocks\.(\d+)\.(.+))", rest)
    if not found:
        return None
    first = first_block(side, int(found[1]), is_super, blocks)
    if side == "encoder":
        places = {"pool": f"{first}.conv", "down": f"{first + 1}"}
        first += 2
    elif is_super:  # the convolution, a ReLU and the shuffle come before the growth
        places = {"up": f"{first + blocks}", "grow": f"{first + blocks + 3}.conv"}
    else:  # upsampling comes before the growth
        places = {"grow": f"{first + blocks + 1}.conv", "up": f"{first + blocks + 2}"}
    if found[2] in places:
        return places[found[2]]
    if not found[3]:
        return None
    block = f"{first + int(found[3])}.conv"
    if is_super:
        return f"{block}.{_SUPER_PARTS[found[4]]}" if found[4] in _SUPER_PARTS else None
    inner = re.fullmatch(r"convs\.(\d)", found[4])
    return f"{block}.{2 * int(inner[1])}" if inner else None
