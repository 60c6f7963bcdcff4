"""AutoencoderKLCogVideoX, of CogVideoX 1.0 and 1.5 (pipeline.networks.video.cogvideox)."""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.formats.settings import COUNT, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, conv
from pipeline.published import _rules, _scaling

CLASS_NAMES = ("AutoencoderKLCogVideoX",)
ENCODERS = ("video.cogvideox.Encoder",)
HIDDEN = ("encoder.groups", "decoder.groups")
_SCALING = 1.15258426
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": [128, 256, 256, 512],
    "layers_per_block": 3,
    "norm_num_groups": 32,
}
_FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "norm_eps": 1e-6,
    "down_block_types": ["CogVideoXDownBlock3D"] * 4,
    "up_block_types": ["CogVideoXUpBlock3D"] * 4,
    "temporal_compression_ratio": 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def _blocks(place: str, theirs: str) -> list[tuple[str, str]]:
    """Return the patterns of a residual block, whose norms are plain or see the latents."""
    last = theirs.count("\\") + 1
    return [
        (rf"{place}\.(norm[12])", rf"{theirs}.\{last}"),
        *_norm(rf"{place}\.(norm[12])", rf"{theirs}.\{last}"),
        (rf"{place}\.(conv[12])", rf"{theirs}.\{last}.conv"),
        (rf"{place}\.shortcut", rf"{theirs}.conv_shortcut"),
    ]


def _norm(place: str, theirs: str) -> list[tuple[str, str]]:
    return [
        (rf"{place}\.norm", f"{theirs}.norm_layer"),
        (rf"{place}\.scale", f"{theirs}.conv_y.conv"),
        (rf"{place}\.shift", f"{theirs}.conv_b.conv"),
    ]


_MODULES = [
    (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2.conv"),
    (r"encoder\.norm_out", "encoder.norm_out"),
    *_norm(r"decoder\.norm_out", "decoder.norm_out"),
    *_blocks(r"(encoder|decoder)\.middle\.blocks\.(\d+)", r"\1.mid_block.resnets.\2"),
    *_blocks(r"encoder\.levels\.(\d+)\.blocks\.(\d+)", r"encoder.down_blocks.\1.resnets.\2"),
    *_blocks(r"decoder\.levels\.(\d+)\.blocks\.(\d+)", r"decoder.up_blocks.\1.resnets.\2"),
    (r"encoder\.levels\.(\d+)\.resample\.conv", r"encoder.down_blocks.\1.downsamplers.0.conv"),
    (r"decoder\.levels\.(\d+)\.resample\.conv", r"decoder.up_blocks.\1.upsamplers.0.conv"),
]


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _DEFAULTS | {key: each for key, each in settings.items() if each is not None}
    counts = ("in_channels", "out_channels", "latent_channels", "layers_per_block")
    check(settings, dict.fromkeys((*counts, "norm_num_groups"), COUNT))
    check(settings, {"block_out_channels": list_of(COUNT, 4)})
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    blocks = settings["layers_per_block"]
    same = dict(channels=list(settings["block_out_channels"]), groups=settings["norm_num_groups"])
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 9,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": False,
        "encoder": dict(name="video.cogvideox.Encoder", num_blocks=blocks, **same),
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": dict(name="video.cogvideox.Decoder", num_blocks=blocks + 1, **same),
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder = model["encoder"]
    return {
        "_class_name": "AutoencoderKLCogVideoX",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "block_out_channels": encoder["channels"],
        "layers_per_block": encoder["num_blocks"],
        "norm_num_groups": encoder["groups"],
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del model, names
    layouts = {r".*\.resample\.conv": conv, r".*\.(scale|shift)": _rules.framewise}
    return _rules.rule(_MODULES, layouts)


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
