"""AutoencoderRAE: representation autoencoders, a frozen encoder of images and a decoder.

They are pipeline.networks.rae. Latents are the encoder's features, and diffusers' are normalized:
codec.normalize gives those. A file with statistics of each place of a latent, as the authors' have
them, is read without them, and that is reported: a codec has statistics of channels.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import jax
import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.construct import load
from pipeline.core.errors import CheckpointError
from pipeline.core.notices import notice
from pipeline.core.parameters import abstract
from pipeline.formats.settings import COUNT, NUMBER, TEXT, check, list_of, optional
from pipeline.formats.state_dict import Layout, linear, no_rule, same
from pipeline.frozen import naming
from pipeline.frozen.preprocessing import IMAGENET
from pipeline.networks.rae import ENCODERS as FAMILIES

CLASS_NAMES = ("AutoencoderRAE",)
ENCODERS = ("rae.Encoder",)
HIDDEN = ("encoder.mean", "encoder.std", "decoder.mean", "decoder.std")
_EPS = 1e-5  # that the class adds to deviations
_HEAD = 64
# The side in pixels of the grid of positions, and the width inside feed-forward layers for a width.
_SIDES = {"dinov2": 518, "siglip2": 256, "mae": 224}
_OWN = {"dinov2": {"registers": 4, "masks": True}, "siglip2": {}, "mae": {}}
# What the class has where a config.json is silent.
_DEFAULTS: dict[str, Any] = {
    "encoder_type": "dinov2",
    "encoder_hidden_size": 768,
    "encoder_patch_size": 14,
    "encoder_num_hidden_layers": 12,
    "decoder_hidden_size": 512,
    "decoder_num_hidden_layers": 8,
    "decoder_num_attention_heads": 16,
    "decoder_intermediate_size": 2048,
    "patch_size": 16,
    "encoder_input_size": 224,
    "num_channels": 3,
    "encoder_norm_mean": list(IMAGENET[0]),
    "encoder_norm_std": list(IMAGENET[1]),
    "scaling_factor": 1.0,
}
_KINDS = {
    **dict.fromkeys((key for key, value in _DEFAULTS.items() if type(value) is int), COUNT),
    "encoder_type": TEXT,
    "encoder_norm_mean": list_of(NUMBER, 3),
    "encoder_norm_std": list_of(NUMBER, 3),
    "image_size": optional(COUNT),
}
_MODULES = (
    ("embed", "decoder_embed"),
    ("norm", "decoder_norm"),
    ("pixels", "decoder_pred"),
    (r"blocks\.(\d+)\.norm1", r"decoder_layers.\1.layernorm_before"),
    (r"blocks\.(\d+)\.norm2", r"decoder_layers.\1.layernorm_after"),
    (r"blocks\.(\d+)\.attention\.out", r"decoder_layers.\1.attention.to_out.0"),
    (r"blocks\.(\d+)\.attention\.([qkv])\w*", r"decoder_layers.\1.attention.to_\2"),
    (r"blocks\.(\d+)\.mlp\.wide", r"decoder_layers.\1.intermediate.dense"),
    (r"blocks\.(\d+)\.mlp\.back", r"decoder_layers.\1.output.dense"),
)
# Names of attention in the authors' files, where they differ.
_AUTHORS = {
    ".attention.to_q": ".attention.attention.query",
    ".attention.to_k": ".attention.attention.key",
    ".attention.to_v": ".attention.attention.value",
    ".attention.to_out.0": ".attention.output.dense",
}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    kind, width = settings["encoder_type"], settings["encoder_hidden_size"]
    patch, side = settings["encoder_patch_size"], settings["encoder_input_size"]
    network = {
        "width": width,
        "depth": settings["encoder_num_hidden_layers"],
        "heads": max(1, width // _HEAD),
        "hidden": 4 * width if kind == "dinov2" else 3072,
        "patch": patch,
        "side": _SIDES[kind] // patch,
        "affine": False,
        **_OWN[kind],
    }
    colours = {
        "mean": list(settings["encoder_norm_mean"]),
        "std": list(settings["encoder_norm_std"]),
    }
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": side // patch * settings["patch_size"],
        "image_channels": settings["num_channels"],
        "latent_channels": width,
        "encoder": {
            "name": "rae.Encoder",
            "family": kind,
            "network": network,
            "factor": settings["patch_size"],
            **colours,
        },
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {
            "name": "rae.Decoder",
            "width": settings["decoder_hidden_size"],
            "depth": settings["decoder_num_hidden_layers"],
            "heads": settings["decoder_num_attention_heads"],
            "hidden": settings["decoder_intermediate_size"],
            "patch": settings["patch_size"],
            **colours,
        },
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config.json of a model; None for an encoder that the class lacks."""
    encoder, decoder = model["encoder"], model["decoder"]
    if encoder["family"] not in _SIDES:
        return None
    network = encoder["network"]
    return {
        "_class_name": "AutoencoderRAE",
        "encoder_type": encoder["family"],
        "encoder_hidden_size": model["latent_channels"],
        "encoder_patch_size": network["patch"],
        "encoder_num_hidden_layers": network["depth"],
        "decoder_hidden_size": decoder["width"],
        "decoder_num_hidden_layers": decoder["depth"],
        "decoder_num_attention_heads": decoder["heads"],
        "decoder_intermediate_size": decoder["hidden"],
        "patch_size": decoder["patch"],
        "encoder_input_size": model["image_size"] // encoder["factor"] * network["patch"],
        "image_size": model["image_size"],
        "num_channels": model["image_channels"],
        "encoder_norm_mean": list(encoder["mean"]),
        "encoder_norm_std": list(encoder["std"]),
        "latents_mean": None,
        "latents_std": None,
        "noise_tau": 0.0,
        "reshape_to_2d": True,
        "use_encoder_loss": False,
        "scaling_factor": 1.0,
    }


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel; {} without any, or with those of places."""
    settings = _checked(settings)
    width, scaling = settings["encoder_hidden_size"], settings["scaling_factor"]
    # Where the settings are silent, the file's buffers hold them.
    mean, std = (
        np.asarray(
            settings.get(f"latents_{key}", tensors.get(f"_latents_{key}", [float(key == "std")])),
            np.float64,
        )
        for key in ("mean", "std")
    )
    if mean.size == std.size == 1 and (mean.item(), std.item(), scaling) == (0.0, 1.0, 1.0):
        return {}
    if any(each.size not in (1, width) for each in (mean, std)):
        notice(
            f"latents_mean {list(mean.shape)} are statistics of each place of a latent, which a "
            "codec does not have: they are left out, and codec.normalize is not to be had"
        )
        return {}
    mean, std = (np.broadcast_to(each.reshape(-1), (width,)) for each in (mean, std))
    return latent_stats.summary(mean, (std + _EPS) / scaling)


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the statistics as settings and as buffers, and the buffers of colours."""
    encoder = model["encoder"]
    mean, std = np.zeros(1, np.float32), np.ones(1, np.float32)
    settings: dict[str, Any] = {}
    if latents:
        # The class has them of each channel with axes for the places.
        mean = np.asarray(latents["mean"], np.float32).reshape(-1, 1, 1)
        std = (np.asarray(latents["std"], np.float64) - _EPS).astype(np.float32).reshape(-1, 1, 1)
        settings = {"latents_mean": mean.tolist(), "latents_std": std.tolist()}
    colours = {
        f"encoder_{key}": np.asarray(encoder[key], np.float32).reshape(1, 3, 1, 1)
        for key in ("mean", "std")
    }
    return settings, {"_latents_mean": mean, "_latents_std": std, **colours}


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file."""
    encoder = model["encoder"]
    family: Any = load(FAMILIES, encoder["family"], where="encoder.family")
    own = [name.removeprefix("encoder.") for name in _listed(names) if "encoder." in name[:8]]
    found, prefix = family.NAMINGS[0], ""
    if own:
        found, prefix = naming.choose(family.NAMINGS, own, "AutoencoderRAE")
    _, shapes, _ = abstract(lambda: family.create(**encoder["network"], key=jax.random.key(0)))
    of_authors = "decoder.decoder_layers.0.attention.attention.query.weight" in names

    def source(name: str) -> tuple[str, Layout]:
        side, _, rest = name.partition(".")
        if side == "encoder":
            inner = rest.removeprefix("network.")
            theirs, layout = found.source(inner, shapes[inner].shape)
            return f"encoder.{prefix}{theirs}", layout
        theirs, layout = _of_decoder(rest)
        if of_authors:
            for newer, older in _AUTHORS.items():
                theirs = theirs.replace(newer, older)
        return f"decoder.{theirs}", layout

    return source


def _listed(names: Any) -> list[str]:
    return list(names)


def _of_decoder(name: str) -> tuple[str, Layout]:
    if name == "class_token":
        return "trainable_cls_token", Layout(
            lambda tensor: tensor.reshape(-1), lambda array: array.reshape(1, 1, -1)
        )
    module, _, leaf = name.rpartition(".")
    for pattern, theirs in _MODULES:
        if match := re.fullmatch(pattern, module):
            layout = linear if leaf == "kernel" else same
            end = {"kernel": "weight", "scale": "weight", "bias": "bias"}[leaf]
            return f"{match.expand(theirs)}.{end}", layout
    raise no_rule(name)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults.

    Raises:
      CheckpointError: they describe a network that we lack.
    """
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    check(settings, _KINDS)
    if settings["encoder_type"] not in _SIDES:
        known = ", ".join(map(repr, _SIDES))
        raise CheckpointError(f"encoder_type={settings['encoder_type']!r} must be one of {known}")
    return settings
