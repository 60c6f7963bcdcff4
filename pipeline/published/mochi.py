"""AutoencoderKLMochi: the codec of Mochi 1."""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import (
    COUNT,
    FLAG,
    NUMBER,
    POSITIVE,
    Kind,
    check,
    list_of,
    optional,
)
from pipeline.formats.state_dict import Layout, conv3d, linear, no_rule, pointwise, same
from pipeline.networks.video.mochi import FEATURES

CLASS_NAMES = ("AutoencoderKLMochi",)
ENCODERS = ("video.mochi.Encoder",)
HIDDEN = ()
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
# Values of settings that a config.json leaves out; the statistics are those of the published
# weights.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 15,
    "out_channels": 3,
    "encoder_block_out_channels": [64, 128, 256, 384],
    "decoder_block_out_channels": [128, 256, 512, 768],
    "latent_channels": 12,
    "layers_per_block": [3, 3, 4, 6, 3],
    "act_fn": "silu",
    "temporal_expansions": [1, 2, 3],
    "spatial_expansions": [2, 2, 2],
    "add_attention_block": [False, True, True, True, True],
    "latents_mean": [
        -0.06730895953510081,
        -0.038011381506090416,
        -0.07477820912866141,
        -0.05565264470995561,
        0.012767231469026969,
        -0.04703542746246419,
        0.043896967884726704,
        -0.09346305707025976,
        -0.09918314763016893,
        -0.008729793427399178,
        -0.011931556316503654,
        -0.0321993391887285,
    ],
    "latents_std": [
        0.9263795028493863,
        0.9248894543193766,
        0.9393059390890617,
        0.959253732819592,
        0.8244560132752793,
        0.917259975397747,
        0.9294154431013696,
        1.3720942357788521,
        0.881393668867029,
        0.9168315692124348,
        0.9185249279345552,
        0.9274757570805041,
    ],
    "scaling_factor": 1.0,
}
_STATISTICS = ("latents_mean", "latents_std")  # null has a meaning


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    shared = {
        "num_blocks": list(settings["layers_per_block"]),
        "time_factors": list(settings["temporal_expansions"]),
        "space_factors": list(settings["spatial_expansions"]),
    }
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 1 + 3 * int(np.prod(settings["temporal_expansions"])),
        "image_channels": settings["out_channels"],
        "latent_channels": settings["latent_channels"],
        "encoder": {
            "name": "video.mochi.Encoder",
            "channels": list(settings["encoder_block_out_channels"]),
            "attention": list(settings["add_attention_block"]),
            **shared,
        },
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": {
            "name": "video.mochi.Decoder",
            "channels": list(settings["decoder_block_out_channels"]),
            **shared,
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]
    return {
        "_class_name": "AutoencoderKLMochi",
        "in_channels": FEATURES * model["image_channels"],
        "out_channels": model["image_channels"],
        "encoder_block_out_channels": encoder["channels"],
        "decoder_block_out_channels": decoder["channels"],
        "latent_channels": model["latent_channels"],
        "layers_per_block": encoder["num_blocks"],
        "act_fn": "silu",
        "temporal_expansions": encoder["time_factors"],
        "spatial_expansions": encoder["space_factors"],
        "add_attention_block": encoder["attention"],
    }


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel; {} where they are null."""
    del tensors
    settings = _checked(settings)
    mean, std = (settings[key] for key in _STATISTICS)
    if mean is None or std is None:
        return {}
    return latent_stats.summary(mean, np.asarray(std) / settings["scaling_factor"])


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the lists, or null for both."""
    del model
    values = [latents.get(key) for key in ("mean", "std")]
    return dict(zip(_STATISTICS, values)) | {"scaling_factor": 1.0}, {}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the class's names."""
    del model, names
    return _source


def _source(name: str) -> tuple[str, Layout]:
    module, _, leaf = name.rpartition(".")
    if leaf not in ("kernel", "bias", "scale"):
        raise no_rule(name)
    side, _, rest = module.partition(".")
    theirs, layout = _module(rest, side == "encoder", name)
    end = "bias" if leaf == "bias" else "weight"
    return f"{side}.{theirs}.{end}", layout if leaf == "kernel" else same


def _module(rest: str, is_encoder: bool, name: str) -> tuple[str, Layout]:
    """Return the class's name of one of our modules, and the layout of its kernel."""
    if rest == "conv_in":
        return ("proj_in", linear) if is_encoder else ("conv_in", pointwise(3))
    if rest == "conv_out":
        return "proj_out", linear
    if rest == "norm_out":
        return "norm_out.norm_layer", same
    if found := re.fullmatch(r"blocks_(in|out)\.(.+)", rest):
        inner, layout = _in_blocks(found[2], name)
        return f"block_{found[1]}.{inner}", layout
    found = re.fullmatch(r"levels\.(\d+)\.(.+)", rest)
    if not found:
        raise no_rule(name)
    level = f"{'down' if is_encoder else 'up'}_blocks.{found[1]}"
    if found[2] == "down":
        return f"{level}.conv_in.conv", conv3d
    if found[2] == "up":
        return f"{level}.proj", linear
    inner, layout = _in_blocks(found[2].removeprefix("blocks."), name)
    return f"{level}.{inner}", layout


def _in_blocks(rest: str, name: str) -> tuple[str, Layout]:
    if found := re.fullmatch(r"blocks\.(\d+)\.(norm|conv)([12])", rest):
        inner = "norm_layer" if found[2] == "norm" else "conv"
        return f"resnets.{found[1]}.{found[2]}{found[3]}.{inner}", conv3d
    found = re.fullmatch(r"attentions\.(\d+)\.(\w+)", rest)
    if not found:
        raise no_rule(name)
    if found[2] == "norm":
        return f"norms.{found[1]}.norm_layer", same
    return f"attentions.{found[1]}.{_ATTENTION[found[2]]}", linear


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for one we lack."""
    settings: dict[str, Any] = _DEFAULTS | {
        key: value for key, value in given.items() if value is not None or key in _STATISTICS
    }
    if settings["latent_channels"] != _DEFAULTS["latent_channels"]:
        settings |= {key: given.get(key) for key in _STATISTICS}
    widths = settings["encoder_block_out_channels"]
    steps = len(widths) - 1 if isinstance(widths, list | tuple) else 0
    of_heads = Kind(
        lambda widths: list_of(COUNT).holds(widths) and not any(w % 32 for w in widths),
        "multiples of 32",
    )
    latents = settings["latent_channels"]
    kinds = {
        **dict.fromkeys(("in_channels", "out_channels", "latent_channels"), COUNT),
        "encoder_block_out_channels": of_heads,
        "decoder_block_out_channels": of_heads,
        "layers_per_block": list_of(COUNT, steps + 2),
        "temporal_expansions": list_of(COUNT, steps),
        "spatial_expansions": list_of(COUNT, steps),
        "add_attention_block": list_of(FLAG, steps + 2),
        "latents_mean": optional(list_of(NUMBER, latents)),
        "latents_std": optional(list_of(POSITIVE, latents)),
        "scaling_factor": POSITIVE,
        "act_fn": Kind(lambda name: name in ("silu", "swish"), "silu"),
    }
    check(settings, kinds)
    if settings["in_channels"] != FEATURES * settings["out_channels"]:
        raise CheckpointError(
            f"in_channels={settings['in_channels']} must be {FEATURES} times "
            f"out_channels={settings['out_channels']}: a channel and its sines and cosines"
        )
    return settings
