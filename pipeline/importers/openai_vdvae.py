"""The authors' VDVAE weights (arXiv 2011.10650, state dicts of openai/vdvae) -> pipeline.models.vdvae.model."""

import re
from collections.abc import Callable, Mapping

import jax
import numpy as np

from pipeline.formats import state_dict
from pipeline.formats.state_dict import conv, no_rule, same

_BOTTLENECKS = {"posterior": "enc", "prior": "prior", "resnet": "resnet"}
_LEAVES = {"kernel": ("weight", conv), "bias": ("bias", same)}
Found = tuple[str, Callable[[np.ndarray], np.ndarray]]


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Weights for the model with these `shapes`. Raises CheckpointError where the file is of another model."""
    # The learned starts of the decoder's states are a list there, from the lowest resolution up.
    biased = sorted(
        int(name.split(".")[-1]) for name in shapes if name.startswith("decoder.biases.")
    )
    return state_dict.convert(
        tensors, shapes, lambda name: _source(name, biased), path=path, hint=_hint(tensors, shapes)
    )


def _source(name: str, biased: list[int]) -> Found:
    part, _, leaf = name.rpartition(".")
    if name in ("decoder.gain", "decoder.bias"):
        return name, lambda array: array.reshape(array.shape[1])
    if part == "decoder.biases":
        return f"decoder.bias_xs.{biased.index(int(leaf))}", lambda array: array.transpose(
            0, 2, 3, 1
        )
    if leaf not in _LEAVES:
        raise no_rule(name)
    theirs, transform = _LEAVES[leaf]
    return f"{_module(part, name)}.{theirs}", transform


def _module(part: str, name: str) -> str:
    if part == "encoder.in_conv":
        return part
    if part == "decoder.out_conv":
        return "decoder.out_net.out_conv"
    if found := re.fullmatch(r"encoder\.blocks\.(\d+)\.body\.(c[1-4])", part):
        return f"encoder.enc_blocks.{found[1]}.{found[2]}"
    if found := re.fullmatch(r"decoder\.blocks\.(\d+)\.z_proj", part):
        return f"decoder.dec_blocks.{found[1]}.z_proj"
    if found := re.fullmatch(r"decoder\.blocks\.(\d+)\.(posterior|prior|resnet)\.(c[1-4])", part):
        return f"decoder.dec_blocks.{found[1]}.{_BOTTLENECKS[found[2]]}.{found[3]}"
    raise no_rule(name)


def _hint(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    """Numbers of blocks, where they differ: the released ffhq1024 file has 68 in the encoder, its recipe 70."""
    differences = [
        f"the file has {theirs} {side} blocks, the recipe {ours}"
        for side, key in (("encoder", "enc_blocks"), ("decoder", "dec_blocks"))
        if (theirs := _count(tensors, f"{side}.{key}."))
        != (ours := _count(shapes, f"{side}.blocks."))
    ]
    return (
        f" ({', and '.join(differences)}: set model.enc_blocks or model.dec_blocks)"
        if differences
        else ""
    )


def _count(names: Mapping[str, object], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})
