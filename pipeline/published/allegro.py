"""AutoencoderKLAllegro: the codec of Allegro (pipeline.networks.video.allegro)."""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, FLAG, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, conv, linear
from pipeline.published import _rules, _scaling

CLASS_NAMES = ("AutoencoderKLAllegro",)
ENCODERS = ("video.allegro.Encoder",)
HIDDEN = ("encoder.groups", "decoder.groups")
_SCALING = 0.13
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [128, 256, 512, 512],
    "temporal_downsample_blocks": [True, True, False, False],
    "temporal_upsample_blocks": [False, True, True, False],
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
}
_FIXED = {"act_fn": "silu", "temporal_compression_ratio": 4}
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "out": "to_out.0"}
_KERNELS = {r".*\.attention\.\w+": linear, r"(?!.*\btime\b)(?!.*\.time_(in|out)).*": conv}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    same = dict(channels=list(settings["block_out_channels"]), groups=settings["norm_num_groups"])
    down, up = (list(settings[f"temporal_{way}sample_blocks"][:-1]) for way in ("down", "up"))
    blocks = settings["layers_per_block"]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 24,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": True,
        "encoder": dict(name="video.allegro.Encoder", in_time=down, num_blocks=blocks, **same),
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": dict(name="video.allegro.Decoder", in_time=up, num_blocks=blocks + 1, **same),
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]
    levels = len(encoder["channels"])
    return {
        "_class_name": "AutoencoderKLAllegro",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "down_block_types": ["AllegroDownBlock3D"] * levels,
        "up_block_types": ["AllegroUpBlock3D"] * levels,
        "block_out_channels": encoder["channels"],
        "temporal_downsample_blocks": [*encoder["in_time"], False],
        "temporal_upsample_blocks": [*decoder["in_time"], False],
        "latent_channels": model["latent_channels"],
        "layers_per_block": encoder["num_blocks"],
        "norm_num_groups": encoder["groups"],
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del model, names
    table = _rules.rule(_MODULES, _KERNELS)

    def source(name: str) -> tuple[str, Layout]:
        theirs, layout = table(name)
        return _in_sequences(theirs), layout

    return source


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


def _table() -> list[tuple[str, str]]:
    """Return the names of our modules, and theirs; "time.norms.0" is completed by _in_sequences."""
    found = [
        (r"(quant_conv|post_quant_conv)", r"\1"),
        (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2"),
        (r"(encoder|decoder)\.time_(in|out)", r"\1.temp_conv_\2"),
        (r"(encoder|decoder)\.norm_out", r"\1.conv_norm_out"),
        (r"(encoder|decoder)\.middle\.attention\.norm", r"\1.mid_block.attentions.0.group_norm"),
        (r"encoder\.levels\.(\d+)\.space", r"encoder.down_blocks.\1.downsamplers.0.conv"),
        (r"decoder\.levels\.(\d+)\.space", r"decoder.up_blocks.\1.upsamplers.0.conv"),
        (r"encoder\.levels\.(\d+)\.time\.(.+)", r"encoder.down_blocks.\1.temp_convs_down.\2"),
        (r"decoder\.levels\.(\d+)\.time\.(.+)", r"decoder.up_blocks.\1.temp_conv_up.\2"),
    ]
    for ours, theirs in _ATTENTION.items():
        place = rf"\1.mid_block.attentions.0.{theirs}"
        found.append((rf"(encoder|decoder)\.middle\.attention\.{ours}", place))
    blocks = [
        (r"encoder\.levels\.(\d+)\.blocks\.(\d+)", r"encoder.down_blocks.\1", r"\2", 3),
        (r"decoder\.levels\.(\d+)\.blocks\.(\d+)", r"decoder.up_blocks.\1", r"\2", 3),
        (r"(encoder|decoder)\.middle\.block1", r"\1.mid_block", "0", 2),
        (r"(encoder|decoder)\.middle\.block2", r"\1.mid_block", "1", 2),
    ]
    for ours, theirs, number, group in blocks:
        found += [
            (rf"{ours}\.time\.(.+)", rf"{theirs}.temp_convs.{number}.\{group}"),
            (rf"{ours}\.shortcut", rf"{theirs}.resnets.{number}.conv_shortcut"),
            (rf"{ours}\.(\w+)", rf"{theirs}.resnets.{number}.\{group}"),
        ]
    return found


_MODULES = _table()


def _in_sequences(name: str) -> str:
    """Name the layers over time as sequences: a norm, silu, dropout in two of them, and a conv."""
    for number in range(4):
        conv_place = 3 if number in (1, 2) else 2
        name = name.replace(f".norms.{number}.", f".conv{number + 1}.0.")
        name = name.replace(f".convs.{number}.", f".conv{number + 1}.{conv_place}.")
    return name


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for other networks."""
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    counts = ("in_channels", "out_channels", "latent_channels", "layers_per_block")
    check(settings, dict.fromkeys((*counts, "norm_num_groups"), COUNT))
    check(settings, {"block_out_channels": list_of(COUNT)})
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    levels = len(settings["block_out_channels"])
    for way in ("down", "up"):
        key = f"temporal_{way}sample_blocks"
        check(settings, {key: list_of(FLAG, levels)})
        if settings[key][-1] or sum(settings[key]) != 2:
            raise CheckpointError(f"{key}={settings[key]} must be true twice, and not at the end")
        kinds = settings.get(f"{way}_block_types") or [f"Allegro{way.title()}Block3D"] * levels
        if list(kinds) != [f"Allegro{way.title()}Block3D"] * levels:
            raise CheckpointError(f"{way}_block_types={kinds!r} has blocks that we lack")
    return settings
