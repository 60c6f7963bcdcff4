"""VDVAE of openai/vdvae (arXiv 2011.10650); a state dict becomes a run of configs/vdvae."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.core.errors import ConfigError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import conv, no_rule, same
from pipeline.importers import Imported, provenance, shapes_of

FILES = ("FILE",)

_BOTTLENECKS = {"posterior": "enc", "prior": "prior", "resnet": "resnet"}
_LEAVES = {"kernel": ("weight", conv), "bias": ("bias", same)}
Found = tuple[str, Callable[[np.ndarray], np.ndarray]]


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read a state dict into `model`, which the file does not describe.

    Raises:
      ConfigError: there is no `model`.
      DataError: the file is missing or damaged.
      CheckpointError: it holds another model.
    """
    if model is None:
        raise ConfigError(
            "--config FILE is missing: give the recipe of the weights, such as "
            "configs/vdvae/cifar10.py"
        )
    arrays = convert(state_dict.load(paths[0]), shapes_of(model), path=paths[0])
    return Imported(model, arrays, {}, provenance(__name__, paths))


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes`. Raises CheckpointError for another model."""
    # The file lists the decoder's learned initial states from the lowest resolution up.
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
    """Return a hint on numbers of blocks, where they differ.

    The released ffhq1024 file has 68 in the encoder, and its recipe has 70.
    """
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
