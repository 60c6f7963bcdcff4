"""Lightricks' single files of LTX-Video and LTX-2; the codec in it is imported.

The network shows in the names and shapes of the tensors. Two settings do not: whether doublings add
their unpacked input, and how the decoder pads frames. They are those of the published versions:
0.9.1 to LTX-2.0 add it, and LTX-2.0 mirrors the edges. A recipe given with --config must agree.
"""

import itertools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import published
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.importers import Imported, check_hidden_settings, provenance, shapes_of
from pipeline.published import ltx
from pipeline.published.authors import ltx as naming

FILES = ("FILE",)
PATCH = 4
# Tensors that the authors' files have besides, for training.
_UNUSED = re.compile(r"vae\.per_channel_statistics\.(channel|mean-of-stds.*)")
# Pixels that a packing convolution makes one of -> its kind.
_KINDS = {2: "temporal", 4: "spatial", 8: "spatiotemporal"}


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its tensors show.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
      ConfigError: `model` has other settings than the weights were trained with.
    """
    (path,) = paths
    tensors = _of_codec(state_dict.load_safetensors(pathlib.Path(path)))
    released = _recipe(path, tensors)
    model = released if model is None else model
    check_hidden_settings(model, released, ltx.HIDDEN, paths)
    whole = published.complete(model)
    channels = released["latent_channels"]
    latents: dict[str, Any] = {}
    if naming.MEAN in tensors and naming.STD in tensors:
        latents = ltx.statistics(tensors[naming.MEAN], tensors[naming.STD], channels)
    known = {naming.MEAN, naming.STD, *filter(_UNUSED.match, tensors)}
    arrays = state_dict.convert(
        tensors, shapes_of(model), naming.rule(whole, tensors), path=path, ignored=known
    )
    return Imported(model, arrays, latents, provenance(__name__, paths))


def _of_codec(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the codec's tensors with the prefix: there may be a diffusion model next to them, and
    a file of the codec alone may have no prefix.
    """
    own = ("encoder.", "decoder.", "per_channel_statistics.")
    if not any(name.startswith(naming.PREFIX) for name in tensors):
        tensors = {naming.PREFIX + name: a for name, a in tensors.items() if name.startswith(own)}
    return {name: a for name, a in tensors.items() if name.startswith((naming.PREFIX, *own))}


def _recipe(path: str, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model. Raises CheckpointError if the tensors are not an LTX codec's."""
    try:
        encoder, decoder = _encoder(tensors), _decoder(tensors)
        channels = tensors["vae.decoder.conv_in.conv.weight"].shape[1]
        colors = tensors["vae.encoder.conv_in.conv.weight"].shape[1] // PATCH**2
    except (
        KeyError,
        IndexError,
        ValueError,
        ZeroDivisionError,
        StopIteration,
    ) as error:
        raise CheckpointError(
            f"{path} is not a single file of LTX-Video with its codec: what should show its "
            f"network does not ({error!r:.80})"
        ) from None
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "image_channels": colors,
        "latent_channels": channels,
        "encoder": encoder,
        "bottleneck": {"name": "shared_variance.SharedVarianceGaussian"},
        "decoder": decoder,
    }


def _encoder(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    channels = [tensors["vae.encoder.conv_in.conv.weight"].shape[0]]
    counts, downs = [0], []
    blocks = _blocks(tensors, "vae.encoder.down_blocks.")
    for (kind, block), (_, following) in itertools.pairwise([*blocks, ("", {})]):
        if kind == "group":
            if counts[-1]:  # a group after another one begins a level that does not halve
                downs, counts = [*downs, "none"], [*counts, 0]
                channels.append(channels[-1])
            counts[-1] = _count(block)
        elif kind == "strided":
            downs, counts, channels = [*downs, "conv"], [*counts, 0], [*channels, channels[-1]]
        elif kind == "packing":
            width = _width(following)
            downs.append(_KINDS[width // block["conv.conv.weight"].shape[0]])
            counts, channels = [*counts, 0], [*channels, width]
        else:  # a block that widens ends the level of the halving before it
            channels[-1] = block["conv1.conv.weight"].shape[0]
    return {"name": "video.ltx.Encoder", "channels": channels, "num_blocks": counts, "downs": downs}


def _decoder(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    channels = [tensors["vae.decoder.conv_in.conv.weight"].shape[0]]
    (_, middle), *blocks = _blocks(tensors, "vae.decoder.up_blocks.")
    counts, ups, reductions, noise = [_count(middle)], [], [], [_is_noisy(middle)]
    up, before = "none", channels[0]
    for (kind, block), (_, following) in itertools.pairwise([*blocks, ("", {})]):
        if kind == "packing":
            before = block["conv.conv.weight"].shape[1]
            up = _KINDS[block["conv.conv.weight"].shape[0] // _width(following)]
        elif kind == "group":
            width = _width(block)
            ups, counts = [*ups, up], [*counts, _count(block)]
            reductions.append(before // width)
            noise, channels = [*noise, _is_noisy(block)], [*channels, width]
            up, before = "none", width
        else:
            before = block["conv1.conv.weight"].shape[0]
    timed = "vae.decoder.last_scale_shift_table" in tensors
    adds = set(reductions) == {2} and set(ups) == {"spatiotemporal"}
    return {
        "name": "video.ltx.Decoder",
        "channels": channels,
        "num_blocks": counts,
        "ups": ups,
        "reductions": reductions,
        "residual": [adds] * len(ups),
        "noise": noise,
        "decode_timestep": 0.0 if timed else None,
        "space_padding": "reflect" if adds and not timed else "zeros",
    }


def _blocks(
    tensors: Mapping[str, np.ndarray], prefix: str
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Return the kind of each block in a list, and its tensors by the rest of their names."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, _, rest = name[len(prefix) :].partition(".")
            found.setdefault(int(index), {})[rest] = tensor
    ordered = [found[index] for index in range(len(found))]
    return [(_kind(block), block) for block in ordered]


def _kind(block: Mapping[str, np.ndarray]) -> str:
    if any(name.startswith("res_blocks.") for name in block):
        return "group"
    kinds = {"conv.weight": "strided", "conv.conv.weight": "packing", "conv1.conv.weight": "single"}
    return next(kind for name, kind in kinds.items() if name in block)


def _count(group: Mapping[str, np.ndarray]) -> int:
    return len({name.split(".")[1] for name in group if name.startswith("res_blocks.")})


def _width(block: Mapping[str, np.ndarray]) -> int:
    """Return the number of channels that a block takes."""
    first = ("res_blocks.0.conv1.conv.weight", "conv.conv.weight", "conv1.conv.weight")
    return next(block[name].shape[1] for name in first if name in block)


def _is_noisy(group: Mapping[str, np.ndarray]) -> bool:
    return "res_blocks.0.per_channel_scale1" in group
