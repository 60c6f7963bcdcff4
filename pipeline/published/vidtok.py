"""AutoencoderVidTok: VidTok's codecs of clips, with Gaussian latents (KL) or with codes (FSQ)."""

import math
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, FLAG, TEXT, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, conv, pointwise, same
from pipeline.published import _rules

CLASS_NAMES = ("AutoencoderVidTok",)
ENCODERS = ("video.vidtok.Encoder",)
HIDDEN = ()
_LEVELS = 8  # of each element of a code
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "z_channels": 4,
    "double_z": True,
    "num_res_blocks": 2,
    "regularizer": "kl",
    "codebook_size": 262144,
}
_FIXED = {"is_causal": True}
# Kernels [out in time] of convolutions over time at a pixel become [time 1 1 in out].
_TEMPORAL = Layout(
    lambda tensor: tensor.transpose(2, 1, 0)[:, None, None],
    lambda array: array[:, 0, 0].transpose(2, 1, 0),
)


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    levels, latents = len(settings["ch_mult"]), settings["z_channels"]
    channels = [settings["ch"] * each for each in settings["ch_mult"]]
    bottleneck: dict[str, Any] = {"name": "gaussian.Gaussian"}
    if settings["regularizer"] == "fsq":
        bottleneck = {"name": "fsq.StretchedFSQ", "levels": [_LEVELS] * latents}
    down = [level in _time(levels, "ds") for level in range(levels - 1)]
    up = [level in _time(levels, "us") for level in range(levels - 1, 0, -1)]
    blocks = settings["num_res_blocks"]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "image_channels": settings["in_channels"],
        "latent_channels": latents,
        "encoder": {
            "name": "video.vidtok.Encoder",
            "channels": channels,
            "in_time": down,
            "num_blocks": blocks,
        },
        "bottleneck": bottleneck,
        "decoder": {
            "name": "video.vidtok.Decoder",
            "channels": channels,
            "in_time": up,
            "num_blocks": blocks + 1,
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    channels = model["encoder"]["channels"]
    is_fsq = model["bottleneck"]["name"] == "fsq.StretchedFSQ"
    found = {
        "_class_name": "AutoencoderVidTok",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "ch": channels[0],
        "ch_mult": [width // channels[0] for width in channels],
        "z_channels": model["latent_channels"],
        "double_z": not is_fsq,
        "num_res_blocks": model["encoder"]["num_blocks"],
        "regularizer": "fsq" if is_fsq else "kl",
        **_FIXED,
    }
    return found | ({"codebook_size": _LEVELS ** model["latent_channels"]} if is_fsq else {})


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    del names
    last = len(model["encoder"]["channels"]) - 1
    table = _rules.rule(_modules(last), _KERNELS)

    def source(name: str) -> tuple[str, Layout]:
        if name.endswith(".mix"):
            theirs, _ = table(f"{name.removesuffix('.mix')}.bias")
            return f"{theirs.removesuffix('.conv.conv.bias')}.mix_factor", same
        return table(name)

    return source


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return {}: the class has no statistics of latents."""
    del settings, tensors
    return {}


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return nothing: the class has no statistics of latents."""
    del latents, model
    return {}, {}


_KERNELS = {
    r".*\.space\.conv[12]|.*\.space\.shortcut|.*\.resample\.space": conv,
    r".*\.time\.conv[12]": _TEMPORAL,
    r".*\.attention\.\w+": pointwise(3),
}


def _modules(last: int) -> list[tuple[str, str]]:
    """Return the names of our modules, for resolutions 0 to `last`."""
    attention = [("query", "q.conv"), ("key", "k.conv"), ("value", "v.conv")]
    attention += [("out", "proj_out.conv"), ("norm", "norm.norm")]
    found = [
        (r"(encoder|decoder)\.(conv_in|conv_out)", r"\1.\2.conv"),
        (r"(encoder|decoder)\.norm_out", r"\1.norm_out.norm"),
        (r"(encoder|decoder)\.middle\.block([12])\.norm([12])", r"\1.mid.block_\2.norm\3.norm"),
        (r"(encoder|decoder)\.middle\.block([12])\.conv([12])", r"\1.mid.block_\2.conv\3.conv"),
    ]
    for ours, theirs in attention:
        found.append((rf"(encoder|decoder)\.middle\.attention\.{ours}", rf"\1.mid.attn_1.{theirs}"))
    for level in range(last + 1):
        for side, way, number in (("encoder", "down", level), ("decoder", "up", last - level)):
            here = rf"{side}\.levels\.{level}"
            space, time = f"{side}.{way}.{number}", f"{side}.{way}_temporal.{number}"
            block = rf"{here}\.blocks\.(\d+)"
            found += [
                (rf"{block}\.space\.norm([12])", rf"{space}.block.\1.norm\2.norm"),
                (rf"{block}\.space\.conv([12])", rf"{space}.block.\1.conv\2"),
                (rf"{block}\.space\.shortcut", rf"{space}.block.\1.nin_shortcut"),
                (rf"{block}\.time\.norm([12])", rf"{time}.block.\1.norm\2.norm"),
                (rf"{block}\.time\.conv([12])", rf"{time}.block.\1.conv\2.conv"),
                (rf"{here}\.resample\.space", f"{space}.{way}sample.conv"),
                (rf"{here}\.resample\.time", f"{time}.{way}sample.conv.conv"),
            ]
    return found


def _time(levels: int, way: str) -> list[int]:
    """Return the levels of which diffusers changes the time where its settings are null."""
    return [levels - 2, levels - 3] if way == "ds" else [1, 2]


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for other networks."""
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    counts = ("in_channels", "out_channels", "ch", "z_channels", "num_res_blocks", "codebook_size")
    check(settings, dict.fromkeys(counts, COUNT))
    check(settings, {"ch_mult": list_of(COUNT), "double_z": FLAG, "regularizer": TEXT})
    levels = len(settings["ch_mult"])
    if levels < 3 or settings["ch_mult"][0] != 1:
        raise CheckpointError(f"ch_mult={settings['ch_mult']} must begin with 1 and have 3 or more")
    derived = {
        "spatial_ds": [*range(levels - 1)],
        "spatial_us": [*range(1, levels)],
        "tempo_ds": _time(levels, "ds"),
        "tempo_us": _time(levels, "us"),
    }
    check_fixed(settings, _FIXED | derived | {"out_channels": settings["in_channels"]})
    is_fsq = settings["regularizer"] == "fsq"
    if settings["regularizer"] not in ("kl", "fsq") or settings["double_z"] == is_fsq:
        raise CheckpointError(
            f"regularizer={settings['regularizer']!r} with double_z={settings['double_z']} must be "
            "'kl' with true or 'fsq' with false"
        )
    if is_fsq and round(math.log(settings["codebook_size"], _LEVELS)) != settings["z_channels"]:
        raise CheckpointError(
            f"codebook_size={settings['codebook_size']} must be {_LEVELS} to the power of "
            f"z_channels={settings['z_channels']}"
        )
    return settings
