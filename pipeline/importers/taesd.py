"""TAESD of madebyollin/taesd, tiny autoencoders for diffusion latents; two files become a codec.

The networks are in pipeline.networks.taesd. Each file is a sequence of numbered layers
(pipeline.published.authors.taesd). One file with both, as `strata export --to single-file` writes
it, is given twice.
"""

import functools
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, provenance, shapes_of
from pipeline.published.authors import taesd as naming

FILES = ("ENCODER", "DECODER")
_PUBLISHED = (1, 3, 3, 3)


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read both files into `model`, or into the model that they describe.

    Raises:
      DataError: a file is missing or damaged.
      CheckpointError: they hold another kind of model, or one that does not fit.
    """
    tensors = load(paths)
    model = recipe(paths, tensors) if model is None else model
    arrays = convert(tensors, shapes_of(model), path=" and ".join(paths))
    return Imported(model, arrays, {}, provenance(__name__, paths))


def load(paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the tensors of both files. Raises DataError if one is missing or damaged."""
    sides = zip(("encoder", "decoder"), paths)
    return {name: array for side, path in sides for name, array in _tensors(path, side).items()}


def recipe(paths: Sequence[str], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network in the files. Raises CheckpointError for another kind."""
    own: dict[str, dict[str, Any]] = {}
    for side, conv_in in (("encoder", 0), ("decoder", 1)):
        counts = naming.blocks_in(_layers(tensors, side))
        first = tensors.get(f"{side}.{conv_in}.weight")
        if len(counts) != 4 or first is None:
            raise CheckpointError(
                f"{' and '.join(paths)}: the file given for it is not the {side} of a TAESD of 8x8 "
                "pixels"
            )
        counts = counts if side == "encoder" else counts[::-1]
        pool = any(".pool." in name for name in tensors)
        own[side] = {"pool": pool} | ({} if len(first) == 64 else {"width": len(first)})
        own[side] |= {} if counts == _PUBLISHED else {"num_blocks": counts}
    last = max(_layers(tensors, "encoder"))
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "latent_channels": len(tensors[f"encoder.{last}.weight"]),
        "encoder": {"name": "taesd.Encoder", **own["encoder"]},
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {"name": "taesd.Decoder", **own["decoder"]},
    }


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes`. Raises CheckpointError for another model."""
    pooled = any(".pool." in name for name in tensors)
    hint = f" (set model.encoder.pool={pooled} and model.decoder.pool={pooled})"
    hint = "" if pooled == any(".pool." in name for name in shapes) else hint
    blocks = {side: _num_blocks(shapes, side) for side in ("encoder", "decoder")}
    rule = functools.partial(naming.source, blocks=blocks)
    return state_dict.convert(tensors, shapes, rule, path=path, hint=hint)


def _layers(tensors: Iterable[str], side: str) -> dict[int, bool]:
    """Return the numbers of a network's layers, and whether each is a block."""
    layers: dict[int, bool] = {}
    for name in tensors:
        if found := re.match(rf"{side}\.(\d{{1,4}})\.((?:conv|pool)\.)?", name):
            number = int(found[1])
            layers[number] = layers.get(number, False) or found[2] is not None
    return layers


def _num_blocks(names: Iterable[str], side: str) -> tuple[int, ...]:
    """Return the number of blocks at each resolution of ours, the image's first."""
    blocks = {
        found.groups()
        for name in names
        if (found := re.match(rf"{side}\.stages\.(\d)\.blocks\.(\d+)\.", name))
    }
    counts = tuple(sum(stage == str(number) for stage, _ in blocks) for number in range(4))
    return counts if side == "encoder" else counts[::-1]


def _tensors(path: str, side: str) -> dict[str, np.ndarray]:
    """Return the tensors of one network, from a file of its own or from one of both."""
    file = pathlib.Path(path)
    is_safe = file.suffix == ".safetensors"
    tensors = state_dict.load_safetensors(file) if is_safe else state_dict.load(path)
    both = f"taesd_{side}."
    own = {n.removeprefix(both): array for n, array in tensors.items() if n.startswith(both)}
    return {f"{side}.{name}": array for name, array in (own or tensors).items()}
