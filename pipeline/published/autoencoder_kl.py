"""AutoencoderKL and VQModel: the image autoencoders of latent diffusion and VQGAN.

Stable Diffusion's autoencoder is an AutoencoderKL, and VQGAN and latent diffusion's VQ autoencoders
are VQModels; both are pipeline.networks.ldm. Older files have other names of the attention (query,
key, value, proj_attn) and 1x1 convolutions in place of linear maps, some in some places only.
"""

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
    check_fixed,
    list_of,
    optional,
)
from pipeline.formats.state_dict import Layout, conv, linear, no_rule, same

CLASS_NAMES = ("AutoencoderKL", "VQModel")
ENCODERS = ("ldm.Encoder",)
HIDDEN = ("encoder.groups", "decoder.groups")
# Names of the attention's tensors: the newer ones, and the older ones.
_ATTENTION = {
    "query": ("to_q", "query"),
    "key": ("to_k", "key"),
    "value": ("to_v", "value"),
    "out": ("to_out.0", "proj_attn"),
    "norm": ("group_norm", "group_norm"),
}
_ENDS = {"norm_out": "conv_norm_out", "conv_in": "conv_in", "conv_out": "conv_out"}
# Values of settings that a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [64],
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 256,
    "scaling_factor": 0.18215,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
# What a VQModel's settings have besides, or otherwise.
_VQ_DEFAULTS: dict[str, Any] = _DEFAULTS | {
    "latent_channels": 3,
    "num_vq_embeddings": 256,
    "vq_embed_dim": None,
    "lookup_from_codebook": False,
    "sample_size": 32,
}
_KINDS = {
    **dict.fromkeys(
        ("in_channels", "out_channels", "layers_per_block", "latent_channels", "norm_num_groups"),
        COUNT,
    ),
    **dict.fromkeys(("use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"), FLAG),
    **dict.fromkeys(("scaling_factor", "shift_factor"), optional(NUMBER)),
    "sample_size": Kind(
        lambda size: COUNT.holds(size) or list_of(COUNT).holds(size),
        "a whole number above 0, or two of them",
    ),
}
_BLOCKS = {
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
}
# Settings that are fixed in our network.
_FIXED = {"act_fn": "silu", "norm_type": "group"}
# Reshapes [out in], or [out in 1 1] of a 1x1 convolution, to [in out].
_LINEAR = Layout(lambda tensor: tensor.reshape(tensor.shape[:2]).T, linear.to_theirs)


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    channels, size = settings["block_out_channels"], settings["sample_size"]
    factor = 2 ** (len(channels) - 1)
    size = size if isinstance(size, int) else size[0]
    network = {
        "channels": list(channels),
        "attention": settings["mid_block_add_attention"],
        "groups": settings["norm_num_groups"],
    }
    if levels := _attention_levels(settings, "down_block_types"):
        network["attention_levels"] = levels
    bottleneck: dict[str, Any] = {"name": "gaussian.Gaussian"}
    if settings["_class_name"] == "VQModel":
        bottleneck = {"name": "vq.VQ", "num_codes": settings["num_vq_embeddings"]}
    blocks = settings["layers_per_block"]
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": max(1, size // factor) * factor,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "quant_convs": settings["use_quant_conv"],
        "encoder": {"name": "ldm.Encoder", "num_blocks": blocks, **network},
        "bottleneck": bottleneck,
        "decoder": {"name": "ldm.Decoder", "num_blocks": blocks + 1, **network},
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a model."""
    encoder, bottleneck = model["encoder"], model["bottleneck"]
    levels, attends = range(len(encoder["channels"])), encoder["attention_levels"]
    down = ["AttnDownEncoderBlock2D" if i in attends else "DownEncoderBlock2D" for i in levels]
    up = ["AttnUpDecoderBlock2D" if i in attends else "UpDecoderBlock2D" for i in levels]
    found = {
        "_class_name": "AutoencoderKL",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "down_block_types": down,
        "up_block_types": up[::-1],
        "block_out_channels": encoder["channels"],
        "layers_per_block": encoder["num_blocks"],
        "act_fn": "silu",
        "latent_channels": model["latent_channels"],
        "norm_num_groups": encoder["groups"],
        "sample_size": model["image_size"],
        "mid_block_add_attention": encoder["attention"],
    }
    if bottleneck["name"] == "vq.VQ":
        codes = {"num_vq_embeddings": bottleneck["num_codes"], "vq_embed_dim": None}
        return found | {"_class_name": "VQModel", "norm_type": "group"} | codes
    quant = model["quant_convs"]
    return found | {"use_quant_conv": quant, "use_post_quant_conv": quant}


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel from the scaling; {} if that is null.

    diffusers' pipelines normalize latents as (z - latents_mean) * scaling_factor / latents_std,
    or as (z - shift_factor) * scaling_factor.
    """
    del tensors
    settings = _checked(settings)
    scaling = settings["scaling_factor"]
    # The scaling of a VQModel is for latents before they are codes.
    if settings["_class_name"] == "VQModel" or scaling is None:
        return {}
    if scaling == 0:
        raise CheckpointError("scaling_factor is 0, and latents are divided by it")
    if settings.get("latents_mean") and settings.get("latents_std"):
        deviations = [std / scaling for std in settings["latents_std"]]
        return latent_stats.summary(settings["latents_mean"], deviations)
    channels, shift = settings["latent_channels"], settings.get("shift_factor") or 0.0
    return latent_stats.summary([shift] * channels, [1 / scaling] * channels)


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a scale and shift where all channels have the same, else lists of both."""
    if model["bottleneck"]["name"] == "vq.VQ":
        return {}, {}
    if not latents:
        return {"scaling_factor": None}, {}
    means, deviations = set(latents["mean"]), set(latents["std"])
    if len(means) == len(deviations) == 1:
        (shift,), (std,) = means, deviations
        return {"scaling_factor": 1 / std} | ({"shift_factor": shift} if shift else {}), {}
    lists = {"latents_mean": list(latents["mean"]), "latents_std": list(latents["std"])}
    return {"scaling_factor": 1.0} | lists, {}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file, or for the newest names."""
    del model
    return lambda name: _source(name, names)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults.

    Raises:
      CheckpointError: they describe a network that we lack.
    """
    kind = given["_class_name"]
    defaults = _VQ_DEFAULTS if kind == "VQModel" else _DEFAULTS
    kept = ("scaling_factor", "vq_embed_dim")  # null has a meaning
    settings = defaults | {
        key: value for key, value in given.items() if value is not None or key in kept
    }
    check(settings, _KINDS)
    groups, latents = settings["norm_num_groups"], settings["latent_channels"]
    widths = Kind(
        lambda widths: list_of(COUNT).holds(widths) and not any(w % groups for w in widths),
        f"whole numbers above 0 that norm_num_groups={groups} divides",
    )
    check(settings, {"block_out_channels": widths})
    lists = {"latents_mean": list_of(NUMBER, latents), "latents_std": list_of(POSITIVE, latents)}
    check(settings, {key: each for key, each in lists.items() if settings.get(key)})
    _check_blocks(settings)
    if kind == "VQModel":
        _check_codes(settings)
    check_fixed(settings, _FIXED)
    for one, other in (("use_quant_conv", "use_post_quant_conv"), ("in_channels", "out_channels")):
        if settings[one] != settings[other]:
            raise CheckpointError(f"{one}={settings[one]} and {other}={settings[other]} differ")
    return settings


def _check_blocks(settings: Mapping[str, Any]) -> None:
    """Check that our network has the blocks of a config.json. Raises CheckpointError."""
    for key, blocks in _BLOCKS.items():
        if any(name not in blocks for name in settings.get(key, ())):
            raise CheckpointError(
                f"{key}={settings[key]} has blocks other than "
                f"{' and '.join(map(repr, blocks))}, which we lack"
            )
    down, up = (_attention_levels(settings, key) for key in _BLOCKS)
    if down != up:
        raise CheckpointError(
            f"the encoder attends at resolutions {down} and the decoder at {up}, counted "
            "from the image's, and in our network both do at the same ones"
        )


def _attention_levels(settings: Mapping[str, Any], key: str) -> list[int]:
    """Return the resolutions at which all blocks attend, counted from the image's down."""
    names = settings.get(key, ())
    names = names if key == "down_block_types" else [*reversed(names)]
    return [level for level, name in enumerate(names) if name.startswith("Attn")]


def _check_codes(settings: Mapping[str, Any]) -> None:
    """Check the settings of a codebook in a config.json. Raises CheckpointError."""
    check(settings, {"num_vq_embeddings": COUNT})
    dim, latents = settings["vq_embed_dim"], settings["latent_channels"]
    if dim not in (None, latents):
        raise CheckpointError(
            f"vq_embed_dim={dim!r} differs from latent_channels={latents}, which we lack"
        )
    if settings["lookup_from_codebook"]:
        raise CheckpointError("lookup_from_codebook is true, which we lack")


def _source(name: str, tensors: Container[str]) -> tuple[str, Layout]:
    if name == "bottleneck.codebook.codes":
        return "quantize.embedding.weight", same
    module, _, leaf = name.rpartition(".")
    if leaf not in ("bias", "scale", "kernel"):
        raise no_rule(name)
    theirs = [
        f"{place}.{'bias' if leaf == 'bias' else 'weight'}" for place in _modules(module, name)
    ]
    # A file that was converted in parts has old names in one half and new ones in the other.
    found = next((place for place in theirs if place in tensors), theirs[0])
    if leaf != "kernel":
        return found, same
    return found, _LINEAR if ".attention" in name else conv


def _modules(module: str, name: str) -> tuple[str, ...]:
    """Return the names that a module of ours has in files: the newest first."""
    found = re.fullmatch(r"(encoder|decoder)\.(.+)\.(\w+)", module)
    place = _attention(found[1], found[2]) if found else ""
    if found and place and found[3] in _ATTENTION:
        return tuple(f"{found[1]}.{place}.{part}" for part in _ATTENTION[found[3]])
    return (_module(module, name),)


def _attention(side: str, ours: str) -> str:
    """Return the name that an attention of the encoder or the decoder has in files, or ""."""
    if ours == "middle.attention":
        return "mid_block.attentions.0"
    found = re.fullmatch(r"levels\.(\d+)\.attentions\.(\d+)", ours)
    way = "down" if side == "encoder" else "up"
    return f"{way}_blocks.{found[1]}.attentions.{found[2]}" if found else ""


def _module(module: str, name: str) -> str:
    if module in ("quant_conv", "post_quant_conv"):
        return module
    side, _, rest = module.partition(".")
    way = "down" if side == "encoder" else "up"
    if rest in _ENDS:
        return f"{side}.{_ENDS[rest]}"
    if found := re.fullmatch(r"levels\.(\d+)\.resample", rest):
        return f"{side}.{way}_blocks.{found[1]}.{way}samplers.0.conv"
    if found := re.fullmatch(r"levels\.(\d+)\.blocks\.(\d+)\.(\w+)", rest):
        return f"{side}.{way}_blocks.{found[1]}.resnets.{found[2]}.{_in_block(found[3])}"
    if found := re.fullmatch(r"middle\.block([12])\.(\w+)", rest):
        return f"{side}.mid_block.resnets.{int(found[1]) - 1}.{_in_block(found[2])}"
    raise no_rule(name)


def _in_block(part: str) -> str:
    return "conv_shortcut" if part == "shortcut" else part
