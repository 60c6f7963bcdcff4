"""AutoencoderKLHunyuanVideo15 (pipeline.networks.video.hunyuan_residual)."""

import math
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, pointwise, vector
from pipeline.published import _rules, _scaling

CLASS_NAMES = ("AutoencoderKLHunyuanVideo15",)
ENCODERS = ("video.hunyuan_residual.Encoder",)
HIDDEN = ()
_SCALING = 1.03682
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 32,
    "block_out_channels": [128, 256, 512, 1024, 1024],
    "layers_per_block": 2,
    "spatial_compression_ratio": 16,
    "temporal_compression_ratio": 4,
}
# A step to the next resolution changes to its width too.
_FIXED = {"downsample_match_channel": True, "upsample_match_channel": True}
_ATTENTION = [
    (rf"(encoder|decoder)\.middle\.attention\.{ours}", rf"\1.mid_block.attentions.0.{theirs}")
    for ours, theirs in (
        ("query", "to_q"),
        ("key", "to_k"),
        ("value", "to_v"),
        ("out", "proj_out"),
        ("norm", "norm"),
    )
]


def _blocks(place: str, theirs: str) -> list[tuple[str, str]]:
    """Return the patterns of a residual block; padded convolutions have one inside."""
    last = theirs.count("\\") + 1
    return [
        (rf"{place}\.(norm[12])", rf"{theirs}.\{last}"),
        (rf"{place}\.(conv[12])", rf"{theirs}.\{last}.conv"),
    ]


_MODULES = [
    (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2.conv"),
    (r"(encoder|decoder)\.norm_out", r"\1.norm_out"),
    *_ATTENTION,
    *_blocks(r"(encoder|decoder)\.middle\.block1", r"\1.mid_block.resnets.0"),
    *_blocks(r"(encoder|decoder)\.middle\.block2", r"\1.mid_block.resnets.1"),
    *_blocks(r"encoder\.levels\.(\d+)\.blocks\.(\d+)", r"encoder.down_blocks.\1.resnets.\2"),
    *_blocks(r"decoder\.levels\.(\d+)\.blocks\.(\d+)", r"decoder.up_blocks.\1.resnets.\2"),
    (r"encoder\.levels\.(\d+)\.resample\.conv", r"encoder.down_blocks.\1.downsamplers.0.conv.conv"),
    (r"decoder\.levels\.(\d+)\.resample\.conv", r"decoder.up_blocks.\1.upsamplers.0.conv.conv"),
]


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _DEFAULTS | {key: each for key, each in settings.items() if each is not None}
    counts = ("in_channels", "out_channels", "latent_channels", "layers_per_block")
    check(settings, dict.fromkeys((*counts, *_RATIOS), COUNT))
    check(settings, {"block_out_channels": list_of(COUNT)})
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    widths, blocks = list(settings["block_out_channels"]), settings["layers_per_block"]
    same = dict(channels=widths, in_time=_in_time(settings))
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 1 + settings["temporal_compression_ratio"],
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": False,
        "encoder": dict(name="video.hunyuan_residual.Encoder", num_blocks=blocks, **same),
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": dict(name="video.hunyuan_residual.Decoder", num_blocks=blocks + 1, **same),
    }


_RATIOS = ("spatial_compression_ratio", "temporal_compression_ratio")


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder = model["encoder"]
    return {
        "_class_name": "AutoencoderKLHunyuanVideo15",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "block_out_channels": encoder["channels"],
        "layers_per_block": encoder["num_blocks"],
        "spatial_compression_ratio": 2 ** len(encoder["in_time"]),
        "temporal_compression_ratio": 2 ** sum(encoder["in_time"]),
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del model, names
    attention = r"\w+\.middle\.attention\.\w+"
    return _rules.rule(_MODULES, {attention: pointwise(3)}, ("gamma", vector(3)))


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel from the scaling factor."""
    del tensors
    channels = settings.get("latent_channels") or _DEFAULTS["latent_channels"]
    return _scaling.read(settings, channels, default=_SCALING)


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the scaling factor."""
    del model
    return _scaling.write(latents), {}


def _in_time(settings: Mapping[str, Any]) -> list[bool]:
    """Return for each step down whether it halves time: the last ones do."""
    steps = len(settings["block_out_channels"]) - 1
    space, time = (settings[key] for key in _RATIOS)
    halvings = int(math.log2(time))
    if space != 2**steps or time != 2**halvings or halvings > steps:
        raise CheckpointError(
            f"spatial_compression_ratio={space} and temporal_compression_ratio={time} do not "
            f"belong to block_out_channels of {steps + 1} widths"
        )
    return [step >= steps - halvings for step in range(steps)]
