"""AutoencoderDC: DC-AE, the deep compression autoencoders of images, also SANA's.

They are pipeline.networks.dc_ae. Settings of diffusers that are given for each resolution must
follow the published models' pattern: one kind of block at a resolution in both networks, and the
same neighborhoods wherever there is attention.
"""

import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import models
from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import (
    COUNT,
    FLAG,
    POSITIVE,
    TEXT,
    Kind,
    check,
    check_fixed,
    list_of,
)
from pipeline.formats.state_dict import Layout, conv, linear, no_rule, same

CLASS_NAMES = ("AutoencoderDC",)
ENCODERS = ("dc_ae.Encoder",)
HIDDEN = (
    "encoder.shortcut",
    "decoder.shortcut",
    "encoder.head_dim",
    "decoder.head_dim",
    "decoder.relu_levels",
)
_RESIDUAL, _ATTENTION = "ResBlock", "EfficientViTBlock"
_WIDTHS = [128, 256, 512, 512, 1024, 1024]
_SCALES = [[], [], [], [5], [5], [5]]
# What the class has where a config.json is silent.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "latent_channels": 32,
    "attention_head_dim": 32,
    "encoder_block_types": _RESIDUAL,
    "decoder_block_types": _RESIDUAL,
    "encoder_block_out_channels": _WIDTHS,
    "decoder_block_out_channels": _WIDTHS,
    "encoder_layers_per_block": [2, 2, 2, 3, 3, 3],
    "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
    "encoder_qkv_multiscales": _SCALES,
    "decoder_qkv_multiscales": _SCALES,
    "upsample_block_type": "pixel_shuffle",
    "downsample_block_type": "pixel_unshuffle",
    "decoder_norm_types": "rms_norm",
    "decoder_act_fns": "silu",
    "encoder_out_shortcut": True,
    "decoder_in_shortcut": True,
    "scaling_factor": 1.0,
}
_NOT_NEGATIVE = Kind(lambda value: value == 0 or COUNT.holds(value), "a whole number")
_SIZES = Kind(
    lambda value: isinstance(value, list | tuple) and all(map(COUNT.holds, value)),
    "a list of whole numbers above 0",
)
_NAMES = Kind(lambda value: TEXT.holds(value) or list_of(TEXT).holds(value), "a name, or several")
_KINDS = {
    **dict.fromkeys(("in_channels", "latent_channels", "attention_head_dim"), COUNT),
    **dict.fromkeys(("encoder_out_shortcut", "decoder_in_shortcut"), FLAG),
    **{
        f"{side}_{key}": kind
        for side in ("encoder", "decoder")
        for key, kind in (
            ("block_types", _NAMES),
            ("block_out_channels", list_of(COUNT)),
            ("layers_per_block", list_of(_NOT_NEGATIVE)),
            ("qkv_multiscales", list_of(_SIZES)),
        )
    },
    **dict.fromkeys(("upsample_block_type", "downsample_block_type"), TEXT),
    **dict.fromkeys(("decoder_norm_types", "decoder_act_fns"), _NAMES),
    "scaling_factor": POSITIVE,
}
_FIXED = {"decoder_conv_act_fn": "relu"}
# Our modules of a block, and theirs.
_PARTS = {
    "attention.query": "attn.to_q",
    "attention.key": "attn.to_k",
    "attention.value": "attn.to_v",
    "attention.out": "attn.to_out",
    "mix.wide": "conv_out.conv_inverted",
    "mix.depthwise": "conv_out.conv_depth",
    "mix.out": "conv_out.conv_point",
    "mix.norm": "conv_out.norm",
}
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    levels = len(settings["encoder_block_out_channels"])
    kinds = _each(settings, "decoder_norm_types", levels, ("rms_norm", "batch_norm"))
    acts = _each(settings, "decoder_act_fns", levels, ("silu", "relu"))
    encoder, decoder = (_network(settings, side, levels) for side in ("encoder", "decoder"))
    factor = 2 ** (levels - 1)
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": max(1, 256 // factor) * factor,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "encoder": encoder
        | {
            "strided": settings["downsample_block_type"] != "pixel_unshuffle",
            "shortcut": settings["encoder_out_shortcut"],
        },
        "bottleneck": {"name": "identity.Identity"},
        "decoder": decoder
        | {
            "batch_norm_levels": [i for i in range(levels) if kinds[i] == "batch_norm"],
            "relu_levels": [i for i in range(levels) if acts[i] == "relu"],
            "upsampled": settings["upsample_block_type"] == "interpolate",
            "shortcut": settings["decoder_in_shortcut"],
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]
    levels = range(len(encoder["channels"]))
    found: dict[str, Any] = {
        "_class_name": "AutoencoderDC",
        "in_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "attention_head_dim": encoder["head_dim"],
        "upsample_block_type": "interpolate" if decoder["upsampled"] else "pixel_shuffle",
        "downsample_block_type": "conv" if encoder["strided"] else "pixel_unshuffle",
        "decoder_norm_types": [
            "batch_norm" if i in decoder["batch_norm_levels"] else "rms_norm" for i in levels
        ],
        "decoder_act_fns": ["relu" if i in decoder["relu_levels"] else "silu" for i in levels],
        "encoder_out_shortcut": encoder["shortcut"],
        "decoder_in_shortcut": decoder["shortcut"],
        "scaling_factor": 1.0,
    }
    for side in ("encoder", "decoder"):
        part = model[side]
        attends = [i in part["attention_levels"] for i in levels]
        found |= {
            f"{side}_block_types": [_ATTENTION if each else _RESIDUAL for each in attends],
            f"{side}_block_out_channels": list(part["channels"]),
            f"{side}_layers_per_block": list(part["depths"]),
            f"{side}_qkv_multiscales": [
                list(part["kernel_sizes"]) if each else [] for each in attends
            ],
        }
    return found


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel from the scaling; {} if that is 1."""
    del tensors
    settings = _checked(settings)
    channels, scaling = settings["latent_channels"], settings["scaling_factor"]
    if scaling == 1.0:
        return {}
    return latent_stats.summary([0.0] * channels, [1 / scaling] * channels)


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return one scale for all channels, and counters of batches, which normalizing never reads.

    diffusers has no shift for this class, and one scale: that of all channels together.
    """
    scaling = latents["scale"] if latents else 1.0
    if latents and len(set(latents["std"])) == 1:
        scaling = 1 / latents["std"][0]
    return {"scaling_factor": scaling}, {
        f"{name}.num_batches_tracked": np.zeros((), np.int64)
        for name in _batch_norms(model["decoder"])
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del names
    given = models.settings(model)
    return lambda name: _source(name, given)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults.

    Raises:
      CheckpointError: they describe a network that we lack.
    """
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    check(settings, _KINDS)
    check_fixed(settings, _FIXED)
    lengths = {
        key: len(settings[f"{side}_{key}"])
        for side in ("encoder", "decoder")
        for key in ("block_out_channels", "layers_per_block", "qkv_multiscales")
    } | {"decoder_block_out_channels": len(settings["decoder_block_out_channels"])}
    if len(set(lengths.values())) > 1:
        raise CheckpointError(f"there are different numbers of resolutions: {lengths}")
    return settings


def _each(settings: Mapping[str, Any], key: str, levels: int, known: Sequence[str]) -> list[str]:
    """Return the names of a setting for each resolution. Raises CheckpointError."""
    given = settings[key]
    given = [given] * levels if isinstance(given, str) else list(given)
    if len(given) != levels or any(name not in known for name in given):
        raise CheckpointError(
            f"{key}={settings[key]!r} must be {' or '.join(map(repr, known))}, one for all "
            f"{levels} resolutions or a list of {levels}"
        )
    return given


def _network(settings: Mapping[str, Any], side: str, levels: int) -> dict[str, Any]:
    """Return what the recipe of the encoder and of the decoder have in common."""
    kinds = _each(settings, f"{side}_block_types", levels, (_RESIDUAL, _ATTENTION))
    attention = [level for level in range(levels) if kinds[level] == _ATTENTION]
    scales = settings[f"{side}_qkv_multiscales"]
    sizes = [list(scales[level]) for level in attention]
    if any(each != sizes[0] for each in sizes):
        raise CheckpointError(
            f"{side}_qkv_multiscales={scales!r} differ between resolutions with attention, and in "
            "our network they are the same"
        )
    return {
        "name": f"dc_ae.{side.capitalize()}",
        "channels": list(settings[f"{side}_block_out_channels"]),
        "depths": list(settings[f"{side}_layers_per_block"]),
        "attention_levels": attention,
        "head_dim": settings["attention_head_dim"],
        "kernel_sizes": sizes[0] if sizes else [],
    }


def _batch_norms(decoder: Mapping[str, Any]) -> list[str]:
    """Return the names of the decoder's batch norms in a file."""
    last = len(decoder["channels"]) - 1
    return [
        f"decoder.up_blocks.{level}.{block + (level < last)}."
        + ("attn.norm_out" if level in decoder["attention_levels"] else "norm")
        for level in decoder["batch_norm_levels"]
        for block in range(decoder["depths"][level])
    ]


def _source(name: str, given: Mapping[str, Any]) -> tuple[str, Layout]:
    """Return the tensor of a parameter of ours; `given` has the model's settings."""
    module, _, leaf = name.rpartition(".")
    place = _module(module, name, given)
    if leaf == "pointwise":
        side = module.partition(".")[0]
        return f"{place}.proj_out.weight", _grouped(given[f"{side}.head_dim"])
    if leaf not in _LEAVES:
        raise no_rule(name)
    if leaf != "kernel":
        return f"{place}.{_LEAVES[leaf]}", same
    return f"{place}.weight", linear if re.search(r"\.attn\.to_(q|k|v|out)$", place) else conv


def _module(module: str, name: str, given: Mapping[str, Any]) -> str:
    """Return their name of a module of ours."""
    side, _, rest = module.partition(".")
    if re.fullmatch(r"conv_in(\.conv)?|conv_out(\.conv)?|norm_out", rest):
        return module
    found = re.fullmatch(r"levels\.(\d+)\.(?:blocks\.(\d+)\.)?(.+)", rest)
    if not found:
        raise no_rule(name)
    level, part = int(found[1]), found[3]
    place = f"{side}.{'down' if side == 'encoder' else 'up'}_blocks.{level}"
    if part == "up.conv":
        return f"{place}.0.conv"
    if part == "down.conv":
        return f"{place}.{given['encoder.depths'][level]}.conv"
    # In the decoder, a doubling comes before the blocks.
    first = side == "decoder" and level < len(given["decoder.depths"]) - 1
    place = f"{place}.{first + int(found[2])}"
    if aggregated := re.fullmatch(r"attention\.aggregated\.(\d+)(\.depthwise)?", part):
        place = f"{place}.attn.to_qkv_multiscale.{aggregated[1]}"
        return f"{place}.proj_in" if aggregated[2] else place
    if part == "norm" and level in given[f"{side}.attention_levels"]:
        return f"{place}.attn.norm_out"
    return f"{place}.{_PARTS.get(part, part)}"


def _grouped(head_dim: int) -> Layout:
    """Return the layout of a 1x1 convolution [groups * d, d, 1, 1], which becomes [groups d d]."""
    return Layout(
        lambda tensor: tensor.reshape(-1, head_dim, head_dim).transpose(0, 2, 1),
        lambda array: array.transpose(0, 2, 1).reshape(-1, head_dim, 1, 1),
    )
