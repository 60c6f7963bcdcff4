"""AutoencoderKLCosmos: the continuous video tokenizers CV4x8x8, CV8x8x8 and CV8x16x16 of Cosmos.

It has no variance. Statistics of latents are those of each channel in each of the first latent
frames.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import (
    COUNT,
    NUMBER,
    POSITIVE,
    Kind,
    check,
    check_fixed,
    list_of,
    optional,
)
from pipeline.formats.state_dict import Layout, conv3d, no_rule, pointwise, same

CLASS_NAMES = ("AutoencoderKLCosmos",)
ENCODERS = ("video.cosmos.Encoder",)
HIDDEN = ("encoder.patch", "decoder.patch")
_ATTENTION = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "out": "to_out.0",
    "norm": "norm.norm",
}
_BLOCK = {"norm1": "norm1.norm", "norm2": "norm2.norm", "shortcut": "conv_shortcut"}
_CONV = {"space": "conv_s", "time": "conv_t"}
# The layers of a halving and of a doubling, in their order.
_DOWN = {"space": "conv1", "time": "conv2", "mix": "conv3"}
_UP = {"time": "conv1", "space": "conv2", "mix": "conv3"}
# [out in 1 1 1] to [1 1 in out].
_FLAT = pointwise(3)
_POINTWISE = Layout(
    lambda tensor: _FLAT.to_ours(tensor)[None, None],
    lambda array: _FLAT.to_theirs(array[0, 0]),
)
# Values of settings that a config.json leaves out. The class has statistics then, those of the
# published weights; a file without them has other weights, and no statistics.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "encoder_block_out_channels": [128, 256, 512, 512],
    "decode_block_out_channels": [256, 512, 512, 512],
    "attention_resolutions": [32],
    "resolution": 1024,
    "num_layers": 2,
    "patch_size": 4,
    "patch_type": "haar",
    "scaling_factor": 1.0,
    "spatial_compression_ratio": 8,
    "temporal_compression_ratio": 8,
}
_WIDTHS = ("encoder_block_out_channels", "decode_block_out_channels")
_RATIOS = ("temporal_compression_ratio", "spatial_compression_ratio")
_KINDS = {
    **dict.fromkeys(
        (
            "in_channels",
            "out_channels",
            "latent_channels",
            "resolution",
            "num_layers",
            "patch_size",
            "spatial_compression_ratio",
            "temporal_compression_ratio",
        ),
        COUNT,
    ),
    **dict.fromkeys(
        _WIDTHS,
        Kind(
            lambda widths: list_of(COUNT).holds(widths) and len(widths) >= 4,
            "a list of four or more whole numbers above 0",
        ),
    ),
    "attention_resolutions": Kind(
        lambda sizes: sizes in ([], ()) or list_of(COUNT).holds(sizes),
        "a list of whole numbers above 0",
    ),
    "scaling_factor": POSITIVE,
    "latents_mean": optional(list_of(NUMBER)),
    "latents_std": optional(list_of(POSITIVE)),
}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    blocks, patch = settings["num_layers"], settings["patch_size"]
    encoder, decoder = (list(settings[key]) for key in _WIDTHS)
    attends = settings["attention_resolutions"]
    resolutions = _resolutions(settings["resolution"] // patch, len(encoder) - 1)
    of_decoder = _resolutions(settings["resolution"] // patch, len(decoder) - 1)[::-1]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": True,
        "encoder": {
            "name": "video.cosmos.Encoder",
            "channels": encoder,
            "num_blocks": blocks,
            "attention_levels": [i for i, size in enumerate(resolutions) if size in attends],
            "patch": patch,
            "halvings": _halvings(settings),
        },
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {
            "name": "video.cosmos.Decoder",
            "channels": decoder[::-1],
            "num_blocks": blocks + 1,
            "attention_levels": [i for i, size in enumerate(of_decoder) if size in attends],
            "patch": patch,
            "halvings": _halvings(settings),
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]
    resolution = _DEFAULTS["resolution"]
    time, space = encoder["halvings"]
    sides = [_resolutions(resolution // encoder["patch"], len(encoder["channels"]) - 1)]
    sides += [_resolutions(resolution // encoder["patch"], len(decoder["channels"]) - 1)[::-1]]
    attends = {
        sizes[level]
        for sizes, network in zip(sides, (encoder, decoder))
        for level in network["attention_levels"]
    }
    return {
        "_class_name": "AutoencoderKLCosmos",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "encoder_block_out_channels": encoder["channels"],
        "decode_block_out_channels": decoder["channels"][::-1],
        "attention_resolutions": sorted(attends) or _DEFAULTS["attention_resolutions"],
        "resolution": resolution,
        "num_layers": encoder["num_blocks"],
        "patch_size": encoder["patch"],
        "patch_type": "haar",
        "spatial_compression_ratio": encoder["patch"] << space,
        "temporal_compression_ratio": encoder["patch"] << time,
    }


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each channel in each of the first latent frames; {} without them.

    The file has the frames of the first channel, then those of the second, and so on.
    """
    del tensors
    settings = _checked(settings)
    lists: list[Any] = [settings.get(key) for key in ("latents_mean", "latents_std")]
    if None in lists:
        return {}
    channels = settings["latent_channels"]
    if len(lists[0]) != len(lists[1]) or len(lists[0]) % channels:
        raise CheckpointError(
            f"latents_mean and latents_std have {len(lists[0])} and {len(lists[1])} numbers: "
            f"both must have the same for each of {channels} channels"
        )
    mean, std = (np.asarray(each, np.float64).reshape(channels, -1).T for each in lists)
    if len(mean) == 1:
        mean, std = mean[0], std[0]
    return latent_stats.summary(mean, std / settings["scaling_factor"])


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the statistics, channel by channel."""
    del model
    found: dict[str, Any] = {"scaling_factor": 1.0, "latents_mean": None, "latents_std": None}
    for key in ("mean", "std") if latents else ():
        found[f"latents_{key}"] = np.asarray(latents[key], np.float64).T.reshape(-1).tolist()
    return found, {}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the class's names."""
    del model, names
    return _source


def _source(name: str) -> tuple[str, Layout]:
    module, _, leaf = name.rpartition(".")
    if leaf not in ("kernel", "bias", "scale"):
        raise no_rule(name)
    end = "bias" if leaf == "bias" else "weight"
    if module in ("quant_conv", "post_quant_conv"):
        return f"{module}.{end}", _POINTWISE if leaf == "kernel" else same
    layout = same if leaf != "kernel" else pointwise(3) if ".attentions." in name else conv3d
    side, _, rest = module.partition(".")
    return f"{side}.{_module(rest, side == 'encoder', name)}.{end}", layout


def _module(rest: str, is_encoder: bool, name: str) -> str:
    """Return the class's name of one of our modules, relative to the encoder or decoder."""
    if rest == "norm_out":
        return "norm_out.norm"
    if found := re.fullmatch(r"(conv_in|conv_out)\.(space|time)", rest):
        return f"{found[1]}.{_CONV[found[2]]}"
    if found := re.fullmatch(r"middle\.block([12])\.(.+)", rest):
        return f"mid_block.{_in_block(found[2], int(found[1]) - 1, name)}"
    found = re.fullmatch(r"levels\.(\d+)\.(blocks\.(\d+)\.(.+)|resample\.(\w+))", rest)
    if not found:
        raise no_rule(name)
    level = f"{'down' if is_encoder else 'up'}_blocks.{found[1]}"
    if found[5]:
        conv = (_DOWN if is_encoder else _UP)[found[5]]
        return f"{level}.{'down' if is_encoder else 'up'}samplers.0.{conv}"
    return f"{level}.{_in_block(found[4], int(found[3]), name)}"


def _in_block(rest: str, index: int, name: str) -> str:
    """Return the name of a layer of a residual block, or of the attention behind it."""
    if found := re.fullmatch(r"attentions\.(space|time)\.(\w+)", rest):
        kind = "attentions" if found[1] == "space" else "temp_attentions"
        return f"{kind}.{index}.{_ATTENTION[found[2]]}"
    layer, _, conv = rest.removeprefix("block.").partition(".")
    if layer in _BLOCK:
        return f"resnets.{index}.{_BLOCK[layer]}"
    if layer in ("conv1", "conv2") and conv in _CONV:
        return f"resnets.{index}.{layer}.{_CONV[conv]}"
    raise no_rule(name)


def _resolutions(first: int, levels: int) -> list[int]:
    """Return the sizes that the class takes levels to have, though only one of them halves."""
    return [first >> level for level in range(levels)]


def _halvings(settings: Mapping[str, Any]) -> list[int]:
    """Return how often levels halve time, and how often height and width, besides the patches."""
    return [max(0, (settings[key] // settings["patch_size"]).bit_length() - 1) for key in _RATIOS]


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for one we lack."""
    settings: dict[str, Any] = _DEFAULTS | {
        key: value for key, value in given.items() if value is not None
    }
    check(settings, _KINDS)
    check_fixed(settings, {"patch_type": "haar"})
    time, space = _halvings(settings)
    ratios = [settings[key] for key in _RATIOS]
    # The class leaves out, in silence, what is beyond its levels.
    levels = min(len(settings[key]) for key in _WIDTHS) - 2
    if [settings["patch_size"] << n for n in (time, space)] != ratios or not (
        time < space <= levels or time == space < levels
    ):
        raise CheckpointError(
            f"{_RATIOS[0]}={ratios[0]} and {_RATIOS[1]}={ratios[1]}: with "
            f"patch_size={settings['patch_size']} and {levels + 2} widths there are no such levels"
        )
    if settings["in_channels"] != settings["out_channels"]:
        raise CheckpointError(
            f"in_channels={settings['in_channels']} and out_channels={settings['out_channels']} "
            "differ"
        )
    return settings
