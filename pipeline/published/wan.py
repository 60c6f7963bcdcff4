"""AutoencoderKLWan (Wan 2.1 and 2.2) and AutoencoderKLQwenImage, video codecs of 4x8x8 and 4x16x16.

Wan 2.1 and Qwen-Image are pipeline.networks.video.wan, and Wan 2.2 is video.wan_residual.
"""

import functools
import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, FLAG, NUMBER, POSITIVE, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout, conv, conv3d, no_rule, pointwise, same, vector

CLASS_NAMES = ("AutoencoderKLWan", "AutoencoderKLQwenImage")
ENCODERS = ("video.wan.Encoder", "video.wan_residual.Encoder")
HIDDEN = ()
# The statistics of Wan 2.1's latents, which are both classes' defaults.
MEAN = [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508]
MEAN += [0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921]
STD = [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743]
STD += [3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160]
_DEFAULTS: dict[str, Any] = {
    "base_dim": 96,
    "decoder_base_dim": None,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": False,
    "patch_size": None,
    "latents_mean": MEAN,
    "latents_std": STD,
}
_KINDS = {
    **dict.fromkeys(("base_dim", "decoder_base_dim", "z_dim", "num_res_blocks"), COUNT),
    **dict.fromkeys(("in_channels", "out_channels", "patch_size"), COUNT),
    "dim_mult": list_of(COUNT),
    "is_residual": FLAG,
}
_FIXED = {"attn_scales": [], "dropout": 0.0, "non_linearity": "silu"}
_ENDS = {"conv_in": "conv_in", "norm_out": "norm_out", "conv_out": "conv_out"}
# [out in 1 1 1] to [1 1 in out].
QUANT_CONV = Layout(
    lambda tensor: conv.to_ours(tensor.reshape(tensor.shape[:4])),
    lambda array: conv.to_theirs(array)[..., None],
)


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    found = _checked(settings)
    widths, patch = found["dim_mult"], found["patch_size"]
    network: dict[str, Any] = {"in_time": list(found["temperal_downsample"])}
    kind = "video.wan"
    if found["is_residual"]:
        kind, network = "video.wan_residual", network | {"patch": patch}
    encoder = [found["base_dim"] * width for width in widths]
    decoder = [found["decoder_base_dim"] * width for width in widths]
    blocks = found["num_res_blocks"]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "image_channels": found["in_channels"] // patch**2,
        "latent_channels": found["z_dim"],
        "quant_convs": True,
        "encoder": {
            "name": f"{kind}.Encoder",
            "channels": encoder,
            "num_blocks": blocks,
            **network,
        },
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": {
            "name": f"{kind}.Decoder",
            "channels": decoder,
            "num_blocks": blocks + 1,
            **network,
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model, as AutoencoderKLWan."""
    encoder, decoder = model["encoder"], model["decoder"]
    channels, in_time = encoder["channels"], encoder["in_time"]
    patch = encoder.get("patch", 1)
    pixels = model["image_channels"] * patch**2
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": channels[0],
        "decoder_base_dim": decoder["channels"][0],
        "z_dim": model["latent_channels"],
        "dim_mult": [width // channels[0] for width in channels],
        "num_res_blocks": encoder["num_blocks"],
        "attn_scales": [],
        "temperal_downsample": list(in_time),
        "dropout": 0.0,
        "is_residual": encoder["name"] == "video.wan_residual.Encoder",
        "in_channels": pixels,
        "out_channels": pixels,
        "patch_size": patch if "patch" in encoder else None,
        "scale_factor_temporal": 2 ** sum(in_time),
        "scale_factor_spatial": patch * 2 ** len(in_time),
    }


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the mean and the deviation of each latent channel."""
    del tensors
    found = _checked(settings)
    count = found["z_dim"]
    check(found, {"latents_mean": list_of(NUMBER, count), "latents_std": list_of(POSITIVE, count)})
    return latent_stats.summary(found["latents_mean"], found["latents_std"])


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the lists, or those that change nothing, as the class has defaults of Wan 2.1."""
    count = model["latent_channels"]
    mean, std = latents.get("mean", [0.0] * count), latents.get("std", [1.0] * count)
    return {"latents_mean": list(mean), "latents_std": list(std)}, {}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in diffusers' files."""
    del names
    residual = model["encoder"]["name"] == "video.wan_residual.Encoder"
    blocks = model["encoder"]["num_blocks"]
    return functools.partial(source, functools.partial(_module, residual, blocks))


def source(module_of: Callable[[str, str], str], name: str) -> tuple[str, Layout]:
    """Return the tensor of one of our parameters, and the change of its layout.

    Args:
      module_of: returns the file's name of the module (side, rest of our name).
    """
    module, _, leaf = name.rpartition(".")
    side, _, rest = module.partition(".")
    if module in ("quant_conv", "post_quant_conv"):
        layout = QUANT_CONV if leaf == "kernel" else same
        return f"{module_of('', module)}.{'weight' if leaf == 'kernel' else 'bias'}", layout
    if side not in ("encoder", "decoder") or leaf not in ("kernel", "bias", "scale"):
        raise no_rule(name)
    theirs = module_of(side, rest)
    if leaf == "scale":
        # The norm within the attention is of images, and has an axis less.
        return f"{theirs}.gamma", vector(2 if ".attention." in module else 3)
    last = rest.rpartition(".")[2]
    parts = ("query", "key", "value")
    if leaf == "kernel":
        layout = pointwise(2) if ".attention." in module else conv3d
        layout = conv if rest.endswith("resample.conv") else layout
    else:
        layout = same
    if last in parts:
        layout = layout.of_part(parts.index(last), 3)
    return f"{theirs}.{'weight' if leaf == 'kernel' else 'bias'}", layout


def _module(residual: bool, blocks: int, side: str, rest: str) -> str:
    """Return diffusers' name of one of our modules."""
    if not side:
        return rest
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}"
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"{side}.mid_block.resnets.{int(found[1]) - 1}.{_in_block(found[2])}"
    if found := re.fullmatch(r"middle\.attention\.(\w+)", rest):
        part = {"norm": "norm", "out": "proj"}.get(found[1], "to_qkv")
        return f"{side}.mid_block.attentions.0.{part}"
    found = re.fullmatch(r"levels\.(\d+)\.(?:blocks\.(\d+)\.(\w+)|resample\.(conv|time))", rest)
    if not found:
        raise no_rule(f"{side}.{rest}")
    level, block = int(found[1]), found[2]
    layer = {"conv": "resample.1", "time": "time_conv"}.get(found[4] or "", "")
    if side == "encoder" and not residual:  # one list of blocks and halvings
        place = f"encoder.down_blocks.{level * (blocks + 1) + int(block or blocks)}"
        return f"{place}.{layer or _in_block(found[3])}"
    place = f"{side}.{'down' if side == 'encoder' else 'up'}_blocks.{level}"
    if block:
        return f"{place}.resnets.{block}.{_in_block(found[3])}"
    way = "downsampler" if side == "encoder" else "upsampler" if residual else "upsamplers.0"
    return f"{place}.{way}.{layer}"


def _in_block(part: str) -> str:
    return "conv_shortcut" if part == "shortcut" else part


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults.

    Raises:
      CheckpointError: they describe a network that we lack.
    """
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    settings["decoder_base_dim"] = settings["decoder_base_dim"] or settings["base_dim"]
    pixels = settings.get("input_channels", 3)  # Qwen-Image's name of it
    settings = {"in_channels": pixels, "out_channels": pixels} | settings
    settings["patch_size"] = settings["patch_size"] or 1
    check(settings, _KINDS)
    check(settings, {"temperal_downsample": list_of(FLAG, len(settings["dim_mult"]) - 1)})
    check_fixed(settings, _FIXED)
    if settings["in_channels"] != settings["out_channels"]:
        raise CheckpointError(
            f"in_channels={settings['in_channels']} and out_channels={settings['out_channels']} "
            "differ"
        )
    if settings["dim_mult"][0] != 1:
        raise CheckpointError(f"dim_mult={settings['dim_mult']} must begin with 1")
    if settings["patch_size"] > 1 and not settings["is_residual"]:
        raise CheckpointError("patch_size is for is_residual=true only")
    if settings["in_channels"] % settings["patch_size"] ** 2:
        raise CheckpointError(
            f"in_channels={settings['in_channels']} are no patches of {settings['patch_size']}"
        )
    return settings
