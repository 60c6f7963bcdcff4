"""WF-VAE of PKU-YuanGroup, video codecs (arXiv 2411.17459); a file or folder becomes a codec.

The model is pipeline.networks.wf_vae. A file is a state dict, a checkpoint of their trainer (whose
averaged weights are used), or the folder that their save_pretrained writes. They need
authors_wavelets=True in model.encoder and model.decoder, and
model.decoder.time_interpolation="linear": the filters and the doubling of frames that they were
trained with. A config.json in the folder, or next to the file, describes how a network differs from
the released ones.
"""

import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError, DataError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import no_rule, same
from pipeline.importers import Imported, check_hidden_settings, provenance, shapes_of
from pipeline.importers import diffusers as diffusers_importer

FILES = ("FILE_OR_DIR",)
# Settings of the model on which names and shapes of weights do not depend.
_HIDDEN = (
    "encoder.authors_wavelets",
    "decoder.authors_wavelets",
    "decoder.time_interpolation",
)

# Haar filters: 128 frozen values, and buffers. The model has its own.
_FILTERS = re.compile(r"(encoder|decoder)\.(inverse_)?wavelet_transform_\w+\.")
_ATTENTION = {"query": "q", "key": "k", "value": "v", "out": "proj_out"}
_STAGES = {"down1": "down1", "down2": "down2", "up1": "up1", "up2": "up2", "connect1": "connect_l1"}
_STAGES |= {"connect2": "connect_l2"}
_CHECKPOINT = (("ema_state_dict",), ("state_dict", "gen_model"), ("state_dict",))
# Their setting -> ours, for settings that the tensors determine as well.
_COUNTED = {
    "latent_dim": "latent_channels",
    "base_channels": "base_channels",
    "encoder_energy_flow_hidden_size": "flow_channels",
    "decoder_energy_flow_hidden_size": "flow_channels",
    "encoder_num_resblocks": "num_blocks",
    "decoder_num_resblocks": "num_blocks",
    "connect_res_layer_num": "num_connect_blocks",
}
# Settings that are fixed in our network.
_FIXED = {
    "norm_type": "layernorm",
    "use_attention": True,
    "attention_type": "AttnBlock3DFix",
    "l1_dowmsample_block": "Downsample",
    "l1_downsample_wavelet": "HaarWaveletTransform2D",
    "l2_dowmsample_block": "Spatial2xTime2x3DDownsample",
    "l2_downsample_wavelet": "HaarWaveletTransform3D",
    "l1_upsample_block": "Upsample",
    "l1_upsample_wavelet": "InverseHaarWaveletTransform2D",
    "l2_upsample_block": "Spatial2xTime2x3DUpsample",
    "l2_upsample_wavelet": "InverseHaarWaveletTransform3D",
}
_INTERPOLATIONS = {"trilinear": "linear", "nearest": "nearest"}
_CLASS = "WFVAEModel"
_PLACEHOLDER = 0.18215  # scale of every channel if none was measured: Stable Diffusion's
Found = tuple[str, Callable[[np.ndarray], np.ndarray]]


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read a file or folder into `model`, or into the model that its tensors describe.

    Raises:
      DataError: a file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
      ConfigError: `model` has other settings than the weights were trained with.
    """
    tensors = load(paths)
    released = recipe(paths, tensors)
    model = released if model is None else model
    check_hidden_settings(model, released, _HIDDEN, paths)
    arrays = convert(tensors, shapes_of(model), path=paths[0])
    return Imported(model, arrays, latent_statistics(paths), provenance(__name__, paths))


def load(paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the tensors. Raises DataError if the file is missing or damaged."""
    path = pathlib.Path(paths[0])
    if path.is_dir() or path.suffix == ".safetensors":
        return state_dict.load_safetensors(
            path / diffusers_importer.WEIGHTS if path.is_dir() else path
        )
    return state_dict.load(paths[0], within=_CHECKPOINT)


def recipe(paths: Sequence[str], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network; without a config.json, it is like the released ones.

    Raises:
      CheckpointError: the tensors are not a WF-VAE's, or are of a WF-VAE that we do not have.
      DataError: config.json is damaged.
    """
    settings = _settings(paths[0])
    try:
        found = {
            "base_channels": len(tensors["encoder.down1.0.bias"]),
            "latent_channels": len(tensors["encoder.conv_out.conv.bias"]) // 2,
            "flow_channels": len(tensors["encoder.connect_l1.bias"]),
            "num_blocks": _count(tensors, "encoder.down1.") - 2,
            "num_connect_blocks": _count(tensors, "decoder.connect_l1.") - 1,
        }
    except KeyError as error:
        raise CheckpointError(
            f"{paths[0]} is not a WF-VAE of the authors: it has no tensor {error}"
        ) from None
    for theirs, ours in _COUNTED.items():
        if settings.get(theirs, found[ours]) != found[ours]:
            said = (
                f"config.json has {theirs}={settings[theirs]}, and the weights {ours}={found[ours]}"
            )
            raise CheckpointError(f"{paths[0]}: {said}")
    connect, latents = found.pop("num_connect_blocks"), found.pop("latent_channels")
    interpolation = _INTERPOLATIONS[settings.get("t_interpolation", "trilinear")]
    network = found | {"authors_wavelets": True}
    of_decoder = {"num_connect_blocks": connect, "time_interpolation": interpolation}
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 25,
        "latent_channels": latents,
        "encoder": {"name": "wf_vae.Encoder", **network},
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": {"name": "wf_vae.Decoder", **network, **of_decoder},
    }


def latent_statistics(paths: Sequence[str]) -> dict[str, Any]:
    """Return the statistics of each latent channel from config.json's scale and shift, or {}.

    The authors normalize as (z - shift) * scale. Lists whose length is not the number of channels,
    and the default scale, were not measured and are left out.
    """
    settings = _settings(paths[0])
    scale, shift = (
        _numbers(settings.get(key), settings.get("latent_dim")) for key in ("scale", "shift")
    )
    if not (scale and shift) or min(scale) <= 0 or set(scale) == {_PLACEHOLDER}:
        return {}
    return latent_stats.summary(shift, [1 / value for value in scale])


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes`. Raises CheckpointError for another model."""
    filters = [name for name in tensors if _FILTERS.match(name)]
    return state_dict.convert(
        tensors, shapes, lambda name: _source(name, shapes), path=path, ignored=filters
    )


def _settings(path: str) -> dict[str, Any]:
    """Return the settings in config.json, or {}; one next to a file may describe something else.

    Raises:
      CheckpointError: it describes a network that we do not have.
      DataError: it is damaged.
    """
    given = pathlib.Path(path)
    file = (given if given.is_dir() else given.parent) / diffusers_importer.CONFIG
    try:
        settings = json.loads(file.read_text()) if file.exists() else {"_class_name": _CLASS}
    except (OSError, ValueError) as error:
        if given.is_dir():
            raise DataError(f"{file} is damaged: {error}") from None
        return {}
    kind = settings.get("_class_name") if isinstance(settings, dict) else None
    if kind != _CLASS:
        if given.is_dir():
            raise CheckpointError(f"{file} holds {kind!r}, not {_CLASS!r}")
        return {}
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise CheckpointError(f"{file}: {key}={settings[key]!r}, and our network has {value!r}")
    if str(settings.get("t_interpolation", "trilinear")) not in _INTERPOLATIONS:
        known = " and ".join(map(repr, _INTERPOLATIONS))
        raise CheckpointError(
            f"{file}: t_interpolation={settings['t_interpolation']!r}, and we have {known}"
        )
    return settings


def _numbers(values: Any, count: Any) -> list[float]:
    """Return `values` if it is a list of `count` finite numbers, otherwise an empty list."""
    if not isinstance(values, list) or len(values) != count:
        return []
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return []
    return [float(value) for value in values]


def _source(name: str, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> Found:
    part, _, leaf = name.rpartition(".")
    side, _, rest = part.partition(".")
    if leaf == "scale" or (leaf == "bias" and re.search(r"norm(1|2|_out)?$", part)):
        return (
            f"{side}.{_module(rest, part, shapes)}.norm.{'weight' if leaf == 'scale' else 'bias'}",
            same,
        )
    if leaf not in ("kernel", "bias"):
        raise no_rule(name)
    theirs = f"{side}.{_module(rest, part, shapes)}"
    if not _is_2d(part):
        theirs += ".conv"
    if leaf == "bias":
        return f"{theirs}.bias", same
    return f"{theirs}.weight", _linear if _is_attention(part) else _conv


def _module(rest: str, part: str, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    """Return the authors' name of one of our modules, relative to the encoder or decoder."""
    if found := re.fullmatch(r"middle\.attention\.(\w+)", rest):
        return f"mid.1.{_ATTENTION.get(found[1], found[1])}"
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"mid.{2 * int(found[1]) - 2}.{_in_block(found[2])}"
    if found := re.fullmatch(r"blocks\.(\d+)\.(\w+)", rest):
        return f"layer.{found[1]}.{_in_block(found[2])}"
    if rest in ("conv_in", "conv_out", "norm_out"):
        return rest
    stage, _, inner = rest.partition(".")
    if stage not in _STAGES:
        raise no_rule(part)
    if not inner:
        return _STAGES[stage]
    blocks = _count(shapes, part.split(".")[0] + f".{stage}.blocks.")
    first = 1 if stage.startswith("down") else 0
    if found := re.fullmatch(r"blocks\.(\d+)\.(\w+)", inner):
        return f"{_STAGES[stage]}.{first + int(found[1])}.{_in_block(found[2])}"
    if found := re.fullmatch(r"block_out\.(\w+)", inner):
        return f"{_STAGES[stage]}.{blocks + 1}.{_in_block(found[1])}"
    place = {"conv_in": "0", "down": f"{1 + blocks}.conv", "conv": f"{blocks}"}[inner]
    return f"{_STAGES[stage]}.{place}" + (
        ".conv" if inner == "conv" and stage.startswith("up") else ""
    )


def _in_block(name: str) -> str:
    return "nin_shortcut" if name == "shortcut" else name


def _is_2d(part: str) -> bool:
    """Return whether the authors' convolution is 2-D; a causal one wraps another, named conv."""
    flat = r"encoder\.(connect[12]|down1\..*|down2\.conv_in)"
    flat += r"|decoder\.(conv_out|connect[12]\.conv|up1\.conv)"
    return re.fullmatch(flat, part) is not None


def _is_attention(part: str) -> bool:
    return ".attention." in part


def _count(names: Mapping[str, object], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in names if name.startswith(prefix)})


def _conv(kernel: np.ndarray) -> np.ndarray:
    """Transpose [out in (time) height width] to [time height width in out]."""
    kernel = kernel[:, :, None] if kernel.ndim == 4 else kernel
    return kernel.transpose(2, 3, 4, 1, 0)


def _linear(kernel: np.ndarray) -> np.ndarray:
    """Transpose [out in 1 1 1] to [in out]."""
    return kernel.reshape(kernel.shape[:2]).T
