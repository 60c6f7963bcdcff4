"""AutoencoderKLMagvit: the video codec of EasyAnimate (pipeline.networks.video.magvit)."""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout
from pipeline.published import _rules, _scaling

CLASS_NAMES = ("AutoencoderKLMagvit",)
ENCODERS = ("video.magvit.Encoder",)
HIDDEN = ("encoder.groups", "decoder.groups", "encoder.in_time", "decoder.in_time")
_SCALING = 0.7125
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["SpatialDownBlock3D"] + ["SpatialTemporalDownBlock3D"] * 3,
    "up_block_types": ["SpatialUpBlock3D"] + ["SpatialTemporalUpBlock3D"] * 3,
    "layers_per_block": 2,
    "norm_num_groups": 32,
}
# Without spatial_group_norm norms see all frames, and time is interpolated: other networks.
_FIXED = {"act_fn": "silu", "spatial_group_norm": True}
_MODULES = [
    (r"(quant_conv|post_quant_conv)", r"\1"),
    (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2"),
    (r"(encoder|decoder)\.norm_out", r"\1.conv_norm_out"),
    (r"(encoder|decoder)\.middle\.blocks\.(\d+)\.(\w+)", r"\1.mid_block.convs.\2.\3"),
    (r"encoder\.levels\.(\d+)\.blocks\.(\d+)\.(\w+)", r"encoder.down_blocks.\1.convs.\2.\3"),
    (r"decoder\.levels\.(\d+)\.blocks\.(\d+)\.(\w+)", r"decoder.up_blocks.\1.convs.\2.\3"),
    (r"encoder\.levels\.(\d+)\.resample", r"encoder.down_blocks.\1.downsampler.conv"),
    (r"decoder\.levels\.(\d+)\.resample\.conv", r"decoder.up_blocks.\1.upsampler.conv"),
]


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _DEFAULTS | {key: each for key, each in settings.items() if each is not None}
    counts = ("in_channels", "out_channels", "latent_channels", "layers_per_block")
    check(settings, dict.fromkeys((*counts, "norm_num_groups"), COUNT))
    check(settings, {"block_out_channels": list_of(COUNT)})
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    widths, blocks = list(settings["block_out_channels"]), settings["layers_per_block"]
    down, up = (_in_time(settings, way, len(widths)) for way in ("Down", "Up"))
    same = dict(channels=widths, num_middle=blocks, groups=settings["norm_num_groups"])
    encoder = dict(name="video.magvit.Encoder", in_time=down, num_blocks=blocks, **same)
    decoder = dict(name="video.magvit.Decoder", in_time=up, num_blocks=blocks + 1, **same)
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 1 + 2 ** sum(down),
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": True,
        "encoder": encoder,
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": decoder,
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]

    def kinds(in_time: Any, way: str) -> list[str]:
        # The last level keeps its resolution, whatever its name says.
        return [f"Spatial{'Temporal' * each}{way}Block3D" for each in [*in_time, True]]

    return {
        "_class_name": "AutoencoderKLMagvit",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "block_out_channels": encoder["channels"],
        "down_block_types": kinds(encoder["in_time"], "Down"),
        "up_block_types": kinds(decoder["in_time"], "Up"),
        "layers_per_block": encoder["num_blocks"],
        "norm_num_groups": encoder["groups"],
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del model, names
    return _rules.rule(_MODULES, {r"(post_)?quant_conv": _rules.framewise})


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


def _in_time(settings: Mapping[str, Any], way: str, levels: int) -> list[bool]:
    key = f"{way.lower()}_block_types"
    known = [f"Spatial{way}Block3D", f"SpatialTemporal{way}Block3D"]
    kinds = settings[key]
    if not isinstance(kinds, list | tuple) or len(kinds) != levels or set(kinds) - set(known):
        raise CheckpointError(f"{key}={kinds!r} must be {levels} of {' and '.join(known)}")
    return [kind == known[1] for kind in kinds[:-1]]
