"""AutoencoderKLLTXVideo and AutoencoderKLLTX2Video: LTX-Video 0.9.0 to 0.9.8, and LTX-2.

Both are pipeline.networks.video.ltx. The statistics of latents are tensors of the file.
"""

import re
from collections.abc import Callable, Container, Mapping, Sequence
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
    check_fixed,
    list_of,
    optional,
)
from pipeline.formats.state_dict import Layout, conv3d, linear, no_rule, same, vector

LTX, LTX2 = "AutoencoderKLLTXVideo", "AutoencoderKLLTX2Video"
CLASS_NAMES = (LTX, LTX2)
ENCODERS = ("video.ltx.Encoder",)
HIDDEN = (
    "encoder.downs",
    "encoder.space_padding",
    "decoder.ups",
    "decoder.residual",
    "decoder.causal",
    "decoder.space_padding",
)
MEAN, STD = "latents_mean", "latents_std"
_OLD, _PACKED, _PACKED2 = "LTXVideoDownBlock3D", "LTXVideo095DownBlock3D", "LTX2VideoDownBlock3D"
_ALL = "spatiotemporal"
# Settings of the decoder that config.json has no key for, and their values in the published codecs.
# A file of ours has them as keys that diffusers ignores.
_OURS = {"decode_timestep": 0.0, "noise_seed": 0}
# Values of settings that a config.json leaves out, of both classes and of each.
_SHARED: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "timestep_conditioning": False,
    "patch_size": 4,
    "patch_size_t": 1,
    "resnet_norm_eps": 1e-6,
    "scaling_factor": 1.0,
    "encoder_causal": True,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    LTX: _SHARED
    | {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": [_OLD] * 4,
        "decoder_block_out_channels": [128, 256, 512, 512],
        "layers_per_block": [4, 3, 3, 3, 4],
        "decoder_layers_per_block": [4, 3, 3, 3, 4],
        "spatio_temporal_scaling": [True, True, True, False],
        "decoder_spatio_temporal_scaling": [True, True, True, False],
        "decoder_inject_noise": [False] * 5,
        "downsample_type": ["conv"] * 4,
        "upsample_residual": [False] * 4,
        "upsample_factor": [1] * 4,
        "decoder_causal": False,
    },
    LTX2: _SHARED
    | {
        "block_out_channels": [256, 512, 1024, 2048],
        "down_block_types": [_PACKED2] * 4,
        "decoder_block_out_channels": [256, 512, 1024],
        "layers_per_block": [4, 6, 6, 2, 2],
        "decoder_layers_per_block": [5, 5, 5, 5],
        "spatio_temporal_scaling": [True] * 4,
        "decoder_spatio_temporal_scaling": [True] * 3,
        "decoder_inject_noise": [False] * 4,
        "downsample_type": ["spatial", "temporal", _ALL, _ALL],
        "upsample_type": [_ALL] * 3,
        "upsample_residual": [True] * 3,
        "upsample_factor": [2] * 3,
        "decoder_causal": True,
        "encoder_spatial_padding_mode": "zeros",
        "decoder_spatial_padding_mode": "reflect",
    },
}
_FIXED = {"patch_size_t": 1, "resnet_norm_eps": 1e-6, "encoder_causal": True}


def _one_of(*names: str) -> Kind:
    return Kind(lambda value: value in names, f"one of {', '.join(names)}")


_KINDS = {
    **dict.fromkeys(("in_channels", "out_channels", "latent_channels", "patch_size"), COUNT),
    **dict.fromkeys(("timestep_conditioning", "decoder_causal"), FLAG),
    **dict.fromkeys(
        (
            "block_out_channels",
            "decoder_block_out_channels",
            "upsample_factor",
        ),
        list_of(COUNT),
    ),
    **dict.fromkeys(
        ("layers_per_block", "decoder_layers_per_block"),
        list_of(Kind(lambda n: n == 0 or COUNT.holds(n), "a whole number")),
    ),
    "scaling_factor": POSITIVE,
    "down_block_types": list_of(_one_of(_OLD, _PACKED, _PACKED2)),
    "downsample_type": list_of(_one_of("conv", "spatial", "temporal", _ALL)),
    "upsample_type": optional(list_of(_one_of("spatial", "temporal", _ALL))),
    **dict.fromkeys(
        ("encoder_spatial_padding_mode", "decoder_spatial_padding_mode"),
        optional(_one_of("zeros", "reflect", "replicate")),
    ),
    "decode_timestep": optional(NUMBER),
    "noise_seed": optional(Kind(lambda n: isinstance(n, int), "a whole number")),
}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "encoder": _encoder(settings),
        "bottleneck": {"name": "shared_variance.SharedVarianceGaussian"},
        "decoder": _decoder(settings),
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, decoder = model["encoder"], model["decoder"]
    noise = decoder["noise"]
    noise = [noise] * len(decoder["num_blocks"]) if isinstance(noise, bool) else noise
    timed = decoder["decode_timestep"] is not None
    mirrored = (encoder["space_padding"], decoder["space_padding"]) != ("zeros", "zeros")
    is_old = bool({"conv", "none"} & set(encoder["downs"]))
    is_ltx = (is_old or timed or any(noise)) and set(decoder["ups"]) <= {"none", _ALL}
    is_ltx = is_ltx and not mirrored
    found = {
        "_class_name": LTX if is_ltx else LTX2,
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "latent_channels": model["latent_channels"],
        "layers_per_block": encoder["num_blocks"],
        "spatio_temporal_scaling": [down != "none" for down in encoder["downs"]],
        "decoder_block_out_channels": _widths(decoder)[::-1],
        "decoder_layers_per_block": decoder["num_blocks"][::-1],
        "decoder_spatio_temporal_scaling": [up != "none" for up in decoder["ups"]][::-1],
        "decoder_inject_noise": noise[::-1],
        "upsample_residual": decoder["residual"][::-1],
        "upsample_factor": decoder["reductions"][::-1],
        "timestep_conditioning": timed,
        "patch_size": encoder["patch"],
        "patch_size_t": 1,
        "resnet_norm_eps": 1e-6,
        "encoder_causal": True,
        "decoder_causal": decoder["causal"],
        "spatial_compression_ratio": encoder["patch"] * _doublings(decoder["ups"], "spatial"),
        "temporal_compression_ratio": _doublings(decoder["ups"], "temporal"),
    }
    found |= _down_settings(encoder, is_ltx, is_old)
    if not is_ltx:
        found |= {
            "upsample_type": [_ALL if up == "none" else up for up in decoder["ups"]],
            "encoder_spatial_padding_mode": encoder["space_padding"],
            "decoder_spatial_padding_mode": decoder["space_padding"],
        }
    given = {"decode_timestep": decoder["decode_timestep"], "noise_seed": decoder["noise_seed"]}
    return found | {k: v for k, v in given.items() if v not in (None, _OURS[k])}


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel from the file's tensors, or the class's 0 and 1
    without them.
    """
    settings = _checked(settings)
    channels = settings["latent_channels"]
    of_class = buffers({}, channels, MEAN, STD)
    mean, std = (tensors.get(name, of_class[name]) for name in (MEAN, STD))
    return statistics(mean, std / settings["scaling_factor"], channels)


def statistics(mean: np.ndarray, std: np.ndarray, channels: int) -> dict[str, Any]:
    """Return the statistics of each latent channel. Raises CheckpointError for unusable tensors."""
    shapes, finite = {mean.shape, std.shape}, np.isfinite(mean).all() and np.isfinite(std).all()
    if shapes != {(channels,)} or not (finite and std.min() > 0):
        raise CheckpointError(
            f"the mean and the deviation of latents must each have {channels} finite numbers, the "
            "deviation's above 0"
        )
    return latent_stats.summary(mean, std)


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the tensors; without statistics they are the class's, which change no latent."""
    return {"scaling_factor": 1.0}, buffers(latents, model["latent_channels"], MEAN, STD)


def buffers(
    latents: Mapping[str, Any], channels: int, mean: str, std: str
) -> dict[str, np.ndarray]:
    """Return the tensors of the statistics under these two names."""
    values = latents or {"mean": [0.0] * channels, "std": [1.0] * channels}
    return {
        name: np.asarray(values[key], np.float32) for name, key in ((mean, "mean"), (std, "std"))
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the class's names: LTX-2's wraps the shortcuts' convolutions no more."""
    # Names that are to be written are those of the model's class.
    wrapped = names == () and settings(model)["_class_name"] == LTX

    def source(name: str) -> tuple[str, Layout]:
        module, theirs, layout = split(name)
        side, _, rest = module.partition(".")
        inner = _module(rest, name) if rest else ""  # a table of the decoder itself
        found = ".".join(part for part in (side, inner, theirs) if part)
        if not rest.endswith(".shortcut"):
            return found, layout
        other = f"{side}.{inner}.conv.{theirs}"
        return other if wrapped or other in names else found, layout

    return source


def split(name: str) -> tuple[str, str, Layout]:
    """Return our module of a parameter, the end of its tensor's name, and the layout.

    Only the names of modules differ between the class's files and the authors'.
    """
    module, _, leaf = name.rpartition(".")
    if leaf in _TABLES:
        return module, _TABLES[leaf][0], _TABLES[leaf][1]
    end = "bias" if leaf == "bias" else "weight"
    if ".embedding." in name or module.startswith("decoder.embedding"):
        return module, end, same if leaf == "bias" else linear
    if leaf not in ("kernel", "bias", "scale"):
        raise no_rule(name)
    return module, end, conv3d if leaf == "kernel" else same


# Parameters that are no weight or bias of a layer, and their layout.
_TABLES = {
    "table": ("scale_shift_table", same),
    "time_scale": ("timestep_scale_multiplier", same),
    "noise1": ("per_channel_scale1", vector(2)),
    "noise2": ("per_channel_scale2", vector(2)),
}
EMBEDDING = "time_embedder.timestep_embedder.linear_"


def _module(rest: str, name: str) -> str:
    """Return the class's name of one of our modules, relative to the encoder or decoder."""
    if rest in ("conv_in", "conv_out"):
        return f"{rest}.conv"
    if found := re.fullmatch(r"embedding\.linear([12])", rest):
        return f"{EMBEDDING}{found[1]}"
    if found := re.fullmatch(r"middle\.(.+)", rest):
        return f"mid_block.{_in_blocks(found[1], name)}"
    if found := re.fullmatch(r"levels\.(\d+)\.(.+)", rest):
        level = f"{'down' if name.startswith('encoder') else 'up'}_blocks.{found[1]}"
        return f"{level}.{_in_level(found[2], name)}"
    raise no_rule(name)


def _in_level(rest: str, name: str) -> str:
    if found := re.fullmatch(r"(down|up)(\.conv)?", rest):
        return f"{found[1]}samplers.0.conv{found[2] or ''}"
    if found := re.fullmatch(r"(widen|narrow)(?:\.(\w+))?", rest):
        block = "conv_out" if found[1] == "widen" else "conv_in"
        return f"{block}.{_in_block(found[2])}" if found[2] else block
    return _in_blocks(rest.removeprefix("blocks."), name)


def _in_blocks(rest: str, name: str) -> str:
    if found := re.fullmatch(r"embedding\.linear([12])", rest):
        return f"{EMBEDDING}{found[1]}"
    if found := re.fullmatch(r"blocks\.(\d+)(?:\.(\w+))?", rest):
        block = f"resnets.{found[1]}"
        return f"{block}.{_in_block(found[2])}" if found[2] else block
    raise no_rule(name)


def _in_block(part: str) -> str:
    """Return the name of a layer in a residual block."""
    return {"shortcut_norm": "norm3", "shortcut": "conv_shortcut"}.get(part, f"{part}.conv")


def _encoder(settings: Mapping[str, Any]) -> dict[str, Any]:
    widths, scales = list(settings["block_out_channels"]), settings["spatio_temporal_scaling"]
    kinds = settings["downsample_type"]
    if settings["_class_name"] == LTX2:
        channels = [settings["latent_channels"], *widths]
    elif settings["down_block_types"][-1] == _PACKED:
        channels = widths
    else:
        channels, kinds = [*widths, widths[-1]], ["conv"] * len(widths)
    return {
        "name": "video.ltx.Encoder",
        "channels": channels,
        "num_blocks": list(settings["layers_per_block"]),
        "downs": [kind if scale else "none" for kind, scale in zip(kinds, scales)],
        "patch": settings["patch_size"],
        "space_padding": settings.get("encoder_spatial_padding_mode") or "zeros",
    }


def _decoder(settings: Mapping[str, Any]) -> dict[str, Any]:
    widths = list(settings["decoder_block_out_channels"])[::-1]
    scales = settings["decoder_spatio_temporal_scaling"][::-1]
    reductions = list(settings["upsample_factor"])[::-1]
    kinds = settings.get("upsample_type") or [_ALL] * len(widths)
    return {
        "name": "video.ltx.Decoder",
        "channels": [widths[0]] + [width // n for width, n in zip(widths, reductions)],
        "num_blocks": list(settings["decoder_layers_per_block"])[::-1],
        # The kinds of doublings are in the order of computation, and all else is reversed.
        "ups": [kind if scale else "none" for kind, scale in zip(kinds, scales)],
        "reductions": reductions,
        "residual": list(settings["upsample_residual"])[::-1],
        "noise": list(settings["decoder_inject_noise"])[::-1],
        "noise_seed": settings["noise_seed"],
        "decode_timestep": (
            float(settings["decode_timestep"]) if settings["timestep_conditioning"] else None
        ),
        "patch": settings["patch_size"],
        "causal": settings["decoder_causal"],
        "space_padding": settings.get("decoder_spatial_padding_mode") or "zeros",
    }


def _widths(decoder: Mapping[str, Any]) -> list[int]:
    """Return the widths of a decoder's levels before their doublings."""
    return [width * n for width, n in zip(decoder["channels"][1:], decoder["reductions"])]


def _down_settings(encoder: Mapping[str, Any], is_ltx: bool, is_old: bool) -> dict[str, Any]:
    channels, downs = encoder["channels"], encoder["downs"]
    kind = (_OLD if is_old else _PACKED) if is_ltx else _PACKED2
    widths = channels if is_ltx and not is_old else channels[:-1] if is_ltx else channels[1:]
    return {
        "block_out_channels": widths,
        "down_block_types": [kind] * len(downs),
        "downsample_type": ["conv" if down == "none" else down for down in downs],
    }


def _doublings(ups: Sequence[str], axis: str) -> int:
    return 2 ** sum(up in (axis, _ALL) for up in ups)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for one we lack."""
    kind = given["_class_name"]
    settings = _OURS | _DEFAULTS[kind] | {k: v for k, v in given.items() if v is not None}
    levels = len(settings["layers_per_block"]) - 1
    ups = len(settings["decoder_layers_per_block"]) - 1
    # A single value of LTX-2's flags is that of all levels.
    for key, count in (
        ("spatio_temporal_scaling", levels),
        ("decoder_spatio_temporal_scaling", ups),
        ("decoder_inject_noise", ups + 1),
        ("upsample_residual", ups),
    ):
        if isinstance(settings[key], bool):
            settings[key] = [settings[key]] * count
    check(settings, _KINDS)
    check_fixed(settings, _FIXED)
    lengths = {
        "spatio_temporal_scaling": list_of(FLAG, levels),
        "decoder_spatio_temporal_scaling": list_of(FLAG, ups),
        "decoder_inject_noise": list_of(FLAG, ups + 1),
        "upsample_residual": list_of(FLAG, ups),
    }
    check(settings, lengths)
    if settings["in_channels"] != settings["out_channels"]:
        raise CheckpointError(
            f"in_channels={settings['in_channels']} and out_channels={settings['out_channels']} "
            "differ"
        )
    types = set(settings["down_block_types"])
    wanted = {_PACKED2} if kind == LTX2 else {_OLD, _PACKED}
    if len(types) != 1 or not types <= wanted:
        raise CheckpointError(
            f"down_block_types={settings['down_block_types']} must all be the same, one of "
            f"{', '.join(sorted(wanted))}"
        )
    return settings
