"""AutoencoderKL and VQModel of Hugging Face diffusers; a folder becomes a codec.

Stable Diffusion's autoencoder is an AutoencoderKL, and VQGAN and latent diffusion's VQ autoencoders
are VQModels. The folder has config.json and diffusion_pytorch_model.safetensors, and becomes
pipeline.networks.ldm. Reading it needs neither torch nor diffusers. Older files, with other names
of the attention (query, key, value, proj_attn) and 1x1 convolutions in place of linear maps, are
supported, and files that have the older names in some places only.
"""

import json
import math
import pathlib
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError, DataError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import Found, conv, no_rule, same
from pipeline.importers import Imported, check_hidden_settings, provenance, shapes_of

FILES = ("DIR",)
# Settings of the model on which names and shapes of weights do not depend.
_HIDDEN = ("encoder.groups", "decoder.groups")
CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
# Names of the attention's tensors: the newer ones, and the older ones.
_ATTENTION = {
    "query": ("to_q", "query"),
    "key": ("to_k", "key"),
    "value": ("to_v", "value"),
    "out": ("to_out.0", "proj_attn"),
    "norm": ("group_norm", "group_norm"),
}
_ENDS = {"norm_out": "conv_norm_out", "conv_in": "conv_in", "conv_out": "conv_out"}
# Values of settings that a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [64],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 256,
    "scaling_factor": 0.18215,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
_COUNTS = ("in_channels", "out_channels", "layers_per_block", "latent_channels", "norm_num_groups")
# What a VQModel's settings have besides, or otherwise.
_VQ_DEFAULTS: dict[str, Any] = _DEFAULTS | {
    "latent_channels": 3,
    "num_vq_embeddings": 256,
    "vq_embed_dim": None,
    "lookup_from_codebook": False,
    "sample_size": 32,
}
_KINDS = {"AutoencoderKL": _DEFAULTS, "VQModel": _VQ_DEFAULTS}
_BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
}
# Settings that are fixed in our network.
_FIXED = {"act_fn": "silu", "norm_type": "group"}


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the folder into `model`, or into the model that its config.json describes.

    Raises:
      DataError: the folder or a file in it is missing or damaged.
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
    """Return the tensors as float32.

    Raises:
      DataError: the folder or a file in it is missing or damaged.
      CheckpointError: it holds another kind of model.
    """
    _settings(paths[0])
    return state_dict.load_safetensors(pathlib.Path(paths[0]) / WEIGHTS)


def recipe(paths: Sequence[str], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    del tensors
    settings = _settings(paths[0])
    channels, size = settings["block_out_channels"], settings["sample_size"]
    factor = 2 ** (len(channels) - 1)
    size = size if isinstance(size, int) else size[0]
    network = {
        "channels": list(channels),
        "attention": settings["mid_block_add_attention"],
        "groups": settings["norm_num_groups"],
    }
    if levels := _attention_levels(settings, "down_block_types"):
        network["attention_levels"] = levels
    bottleneck: dict[str, Any] = {"name": "gaussian.Gaussian"}
    if settings["_class_name"] == "VQModel":
        bottleneck = {"name": "vq.VQ", "num_codes": settings["num_vq_embeddings"]}
    blocks = settings["layers_per_block"]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": max(1, size // factor) * factor,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": settings["use_quant_conv"],
        "encoder": {"name": "ldm.Encoder", "num_blocks": blocks, **network},
        "bottleneck": bottleneck,
        "decoder": {"name": "ldm.Decoder", "num_blocks": blocks + 1, **network},
    }


def latent_statistics(paths: Sequence[str]) -> dict[str, Any]:
    """Return the statistics of each latent channel from the folder's scaling; {} without one."""
    settings = _settings(paths[0])
    if settings["_class_name"] == "VQModel":  # its scaling is for latents before they are codes
        return {}
    if settings.get("latents_mean") and settings.get("latents_std"):
        return latent_stats.summary(settings["latents_mean"], settings["latents_std"])
    channels, scaling = settings["latent_channels"], settings["scaling_factor"]
    if scaling is None:
        return {}
    if scaling == 0:
        raise DataError(f"{paths[0]}: scaling_factor is 0, and latents are divided by it")
    shift = settings.get("shift_factor", 0.0)
    return latent_stats.summary([shift] * channels, [1 / scaling] * channels)


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes`. Raises CheckpointError for another model."""
    return state_dict.convert(tensors, shapes, lambda name: _source(name, tensors), path=path)


def _settings(path: str) -> dict[str, Any]:
    """Return the settings in config.json. Raises CheckpointError for a network we lack."""
    folder = pathlib.Path(path)
    file = folder / CONFIG
    if not file.exists() and (folder / "vae" / CONFIG).exists():
        raise DataError(f"{path} is a whole pipeline: give its autoencoder, {folder / 'vae'}")
    try:
        settings = json.loads(file.read_text())
    except FileNotFoundError:
        raise DataError(
            f"{file}: there is no such file; a folder with {CONFIG} and {WEIGHTS} is expected"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}") from None
    kind = settings.get("_class_name") if isinstance(settings, dict) else None
    if kind not in _KINDS:
        raise CheckpointError(f"{file} holds {kind!r}, not {' or '.join(map(repr, _KINDS))}")
    settings = _KINDS[kind] | {key: value for key, value in settings.items() if value is not None}
    _check_values(settings, file)
    _check_blocks(settings, file)
    if kind == "VQModel":
        _check_codes(settings, file)
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise CheckpointError(f"{file}: {key}={settings[key]!r}, and our network has {value!r}")
    for one, other in (("use_quant_conv", "use_post_quant_conv"), ("in_channels", "out_channels")):
        if settings[one] != settings[other]:
            raise CheckpointError(
                f"{file}: {one}={settings[one]} and {other}={settings[other]} differ"
            )
    return settings


def _check_blocks(settings: Mapping[str, Any], file: pathlib.Path) -> None:
    """Check that our network has the blocks of a config.json. Raises CheckpointError."""
    for key, blocks in _BLOCKS.items():
        if any(name not in blocks for name in settings.get(key, ())):
            raise CheckpointError(
                f"{file}: {key}={settings[key]} has blocks other than "
                f"{' and '.join(map(repr, blocks))}, which we lack"
            )
    down, up = (_attention_levels(settings, key) for key in _BLOCKS)
    if down != up:
        raise CheckpointError(
            f"{file}: the encoder attends at resolutions {down} and the decoder at {up}, counted "
            "from the image's, and in our network both do at the same ones"
        )


def _attention_levels(settings: Mapping[str, Any], key: str) -> list[int]:
    """Return the resolutions at which all blocks attend, counted from the image's down."""
    names = settings.get(key, ())
    names = names if key == "down_block_types" else [*reversed(names)]
    return [level for level, name in enumerate(names) if name.startswith("Attn")]


def _check_codes(settings: Mapping[str, Any], file: pathlib.Path) -> None:
    """Check the settings of a codebook in a config.json. Raises CheckpointError."""
    codes, latents = settings["num_vq_embeddings"], settings["latent_channels"]
    if not _is_count(codes):
        raise CheckpointError(f"{file}: num_vq_embeddings={codes!r} must be a whole number above 0")
    dim = settings["vq_embed_dim"]
    if dim not in (None, latents):
        raise CheckpointError(
            f"{file}: vq_embed_dim={dim!r} differs from latent_channels={latents}, which we lack"
        )
    if settings["lookup_from_codebook"]:
        raise CheckpointError(f"{file}: lookup_from_codebook is true, which we lack")


def _check_values(settings: Mapping[str, Any], file: pathlib.Path) -> None:
    """Check the types and ranges of what is read of a config.json. Raises CheckpointError."""
    size, groups = settings["sample_size"], settings["norm_num_groups"]
    channels, latents = settings["block_out_channels"], settings["latent_channels"]
    wanted = {key: (_is_count(settings[key]), "a whole number above 0") for key in _COUNTS}
    wanted["sample_size"] = (
        _is_count(size) or _is_list(size, _is_count),
        "a whole number above 0, or two of them",
    )
    wanted["block_out_channels"] = (
        _is_list(channels, _is_count)
        and _is_count(groups)
        and not any(width % groups for width in channels),
        f"whole numbers above 0 that norm_num_groups={groups} divides",
    )
    for key in ("use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"):
        wanted[key] = (isinstance(settings[key], bool), "true or false")
    for key in ("scaling_factor", "shift_factor"):
        wanted[key] = (_is_finite(settings.get(key, 0)), "a finite number")
    for key in ("latents_mean", "latents_std"):
        values = settings.get(key) or ([1] * latents if _is_count(latents) else [])
        wanted[key] = (
            _is_list(values, _is_finite)
            and len(values) == latents
            and (key == "latents_mean" or min(values) > 0),
            f"{latents} finite numbers{', above 0' if key == 'latents_std' else ''}",
        )
    for key, (right, what) in wanted.items():
        if not right:
            raise CheckpointError(f"{file}: {key}={settings.get(key)!r} must be {what}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _is_list(value: Any, each: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(each, value))


def _source(name: str, tensors: Container[str]) -> Found:
    if name == "bottleneck.codebook.codes":
        return "quantize.embedding.weight", same
    module, _, leaf = name.rpartition(".")
    if leaf not in ("bias", "scale", "kernel"):
        raise no_rule(name)
    theirs = [
        f"{place}.{'bias' if leaf == 'bias' else 'weight'}" for place in _modules(module, name)
    ]
    # A file that was converted in parts has old names in one half and new ones in the other.
    found = next((place for place in theirs if place in tensors), theirs[0])
    if leaf != "kernel":
        return found, same
    return found, _linear if ".attention" in name else conv


def _modules(module: str, name: str) -> tuple[str, ...]:
    """Return the names that a module of ours has in files: the newest first."""
    found = re.fullmatch(r"(encoder|decoder)\.(.+)\.(\w+)", module)
    place = _attention(found[1], found[2]) if found else ""
    if found and place and found[3] in _ATTENTION:
        return tuple(f"{found[1]}.{place}.{part}" for part in _ATTENTION[found[3]])
    return (_module(module, name),)


def _attention(side: str, ours: str) -> str:
    """Return the name that an attention of the encoder or the decoder has in files, or ""."""
    if ours == "middle.attention":
        return "mid_block.attentions.0"
    found = re.fullmatch(r"levels\.(\d+)\.attentions\.(\d+)", ours)
    way = "down" if side == "encoder" else "up"
    return f"{way}_blocks.{found[1]}.attentions.{found[2]}" if found else ""


def _module(module: str, name: str) -> str:
    if module in ("quant_conv", "post_quant_conv"):
        return module
    side, _, rest = module.partition(".")
    way = "down" if side == "encoder" else "up"
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}"
    if found := re.fullmatch(r"levels\.(\d+)\.resample", rest):
        return f"{side}.{way}_blocks.{found[1]}.{way}samplers.0.conv"
    if found := re.fullmatch(r"levels\.(\d+)\.blocks\.(\d+)\.(\w+)", rest):
        return f"{side}.{way}_blocks.{found[1]}.resnets.{found[2]}.{_in_block(found[3])}"
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"{side}.mid_block.resnets.{int(found[1]) - 1}.{_in_block(found[2])}"
    raise no_rule(name)


def _in_block(part: str) -> str:
    return "conv_shortcut" if part == "shortcut" else part


def _linear(weight: np.ndarray) -> np.ndarray:
    """Transpose [out in], or [out in 1 1] of a 1x1 convolution, to [in out]."""
    return weight.reshape(weight.shape[:2]).T
