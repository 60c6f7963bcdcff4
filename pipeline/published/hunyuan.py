"""AutoencoderKLHunyuanVideo (pipeline.networks.video.hunyuan), by the names of its authors."""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.formats.settings import COUNT, FLAG, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, linear
from pipeline.published import _rules, _scaling

CLASS_NAMES = ("AutoencoderKLHunyuanVideo",)
ENCODERS = ("video.hunyuan.Encoder",)
HIDDEN = ("encoder.groups", "decoder.groups")
_SCALING = 0.476986
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "mid_block_add_attention": True,
}
_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "down_block_types": ["HunyuanVideoDownBlock3D"] * 4,
    "up_block_types": ["HunyuanVideoUpBlock3D"] * 4,
    "spatial_compression_ratio": 8,
    "temporal_compression_ratio": 4,
}
_ATTENTION = [
    (rf"(encoder|decoder)\.middle\.attention\.{ours}", rf"\1.mid_block.attentions.0.{theirs}")
    for ours, theirs in (
        ("query", "to_q"),
        ("key", "to_k"),
        ("value", "to_v"),
        ("out", "to_out.0"),
        ("norm", "group_norm"),
    )
]


def _blocks(place: str, theirs: str) -> list[tuple[str, str]]:
    """Return the patterns of a residual block; convolutions have one inside."""
    last = theirs.count("\\") + 1
    return [
        (rf"{place}\.(norm[12])", rf"{theirs}.\{last}"),
        (rf"{place}\.(conv[12])", rf"{theirs}.\{last}.conv"),
        (rf"{place}\.shortcut", rf"{theirs}.conv_shortcut.conv"),
    ]


MODULES = [
    (r"(quant_conv|post_quant_conv)", r"\1"),
    (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2.conv"),
    (r"(encoder|decoder)\.norm_out", r"\1.conv_norm_out"),
    *_ATTENTION,
    *_blocks(r"(encoder|decoder)\.middle\.block1", r"\1.mid_block.resnets.0"),
    *_blocks(r"(encoder|decoder)\.middle\.block2", r"\1.mid_block.resnets.1"),
    *_blocks(r"encoder\.levels\.(\d+)\.blocks\.(\d+)", r"encoder.down_blocks.\1.resnets.\2"),
    *_blocks(r"decoder\.levels\.(\d+)\.blocks\.(\d+)", r"decoder.up_blocks.\1.resnets.\2"),
    (r"encoder\.levels\.(\d+)\.resample", r"encoder.down_blocks.\1.downsamplers.0.conv.conv"),
    (r"decoder\.levels\.(\d+)\.resample\.conv", r"decoder.up_blocks.\1.upsamplers.0.conv.conv"),
]


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _DEFAULTS | {key: each for key, each in settings.items() if each is not None}
    counts = ("in_channels", "out_channels", "latent_channels", "layers_per_block")
    check(settings, dict.fromkeys((*counts, "norm_num_groups"), COUNT))
    check(settings, {"block_out_channels": list_of(COUNT, 4), "mid_block_add_attention": FLAG})
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    blocks = settings["layers_per_block"]
    same = dict(
        channels=list(settings["block_out_channels"]),
        groups=settings["norm_num_groups"],
        attention=settings["mid_block_add_attention"],
    )
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 5,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": True,
        "encoder": dict(name="video.hunyuan.Encoder", num_blocks=blocks, **same),
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": dict(name="video.hunyuan.Decoder", num_blocks=blocks + 1, **same),
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder = model["encoder"]
    return {
        "_class_name": "AutoencoderKLHunyuanVideo",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "block_out_channels": encoder["channels"],
        "layers_per_block": encoder["num_blocks"],
        "norm_num_groups": encoder["groups"],
        "mid_block_add_attention": encoder["attention"],
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del model, names
    attention = r"\w+\.middle\.attention\.\w+"
    return _rules.rule(MODULES, {r"(post_)?quant_conv": _rules.framewise, attention: linear})


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
