"""AutoencoderTiny: TAESD, tiny autoencoders for the latents of diffusion models."""

from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.settings import COUNT, COUNT_OR_0, check, check_fixed, list_of
from pipeline.formats.state_dict import Layout
from pipeline.networks.taesd import blocks_of
from pipeline.published import _scaling
from pipeline.published.authors import taesd as naming

CLASS_NAMES = ("AutoencoderTiny",)
ENCODERS = ("taesd.Encoder",)
HIDDEN = ()
_DEFAULTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "encoder_block_out_channels": [64, 64, 64, 64],
    "decoder_block_out_channels": [64, 64, 64, 64],
    "num_encoder_blocks": [1, 3, 3, 3],
    "num_decoder_blocks": [3, 3, 3, 1],
    "latent_channels": 4,
    "scaling_factor": 1.0,
    "shift_factor": 0.0,
}
_FIXED = {"act_fn": "relu", "upsample_fn": "nearest", "upsampling_scaling_factor": 2}


def recipe(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return config.model of the network that config.json describes."""
    settings = _checked(settings)
    encoder, decoder = (list(settings[f"num_{side}_blocks"]) for side in ("encoder", "decoder"))
    (width,) = {
        *settings["encoder_block_out_channels"],
        *settings["decoder_block_out_channels"],
    }
    same: dict[str, Any] = {"width": width, "pool": False}
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "image_channels": settings["in_channels"],
        "latent_channels": settings["latent_channels"],
        "encoder": {"name": "taesd.Encoder", "num_blocks": _shortest(encoder), **same},
        "bottleneck": {"name": "identity.Identity"},
        "decoder": {"name": "taesd.Decoder", "num_blocks": _shortest(decoder[::-1]), **same},
    }


def settings(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config.json of a model; the class has no pooling blocks."""
    encoder, decoder = model["encoder"], model["decoder"]
    if encoder["pool"] or decoder["pool"]:
        return None
    return {
        "_class_name": "AutoencoderTiny",
        "in_channels": model["image_channels"],
        "out_channels": model["image_channels"],
        "encoder_block_out_channels": [encoder["width"]] * 4,
        "decoder_block_out_channels": [decoder["width"]] * 4,
        "num_encoder_blocks": list(blocks_of(encoder["num_blocks"])),
        "num_decoder_blocks": list(blocks_of(decoder["num_blocks"]))[::-1],
        "latent_channels": model["latent_channels"],
        **_FIXED,
    }


def rule(model: Mapping[str, Any], names: Container[str]) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the names in a file: numbers of layers, of which the clamp is none."""
    numbered = naming.rule(model, names)

    def source(name: str) -> tuple[str, Layout]:
        theirs, layout = numbered(name)
        network, number, rest = theirs.split(".", 2)
        side = network.removeprefix("taesd_")
        return f"{side}.layers.{int(number) - (side == 'decoder')}.{rest}", layout

    return source


def read_statistics(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return the statistics of each latent channel; {} if the latents are normalized already."""
    del tensors
    settings = _checked(settings)
    found = _scaling.read(settings, settings["latent_channels"], default=1.0)
    normalized = found and set(found["mean"]) == {0.0} and set(found["std"]) == {1.0}
    return {} if normalized else found


def write_statistics(
    latents: Mapping[str, Any], model: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a scale and shift of all channels: the class knows no others."""
    del model
    if not latents:
        return {"scaling_factor": 1.0}, {}
    if len(set(latents["mean"])) == len(set(latents["std"])) == 1:
        return _scaling.write(latents), {}
    return {"scaling_factor": latents["scale"], "shift_factor": latents["shift"]}, {}


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the class's defaults. Raises CheckpointError for other networks."""
    settings = _DEFAULTS | {key: value for key, value in given.items() if value is not None}
    check(settings, dict.fromkeys(("in_channels", "out_channels", "latent_channels"), COUNT))
    lists = ("encoder_block_out_channels", "decoder_block_out_channels")
    blocks = ("num_encoder_blocks", "num_decoder_blocks")
    check(settings, dict.fromkeys(lists, list_of(COUNT, 4)))
    check(settings, dict.fromkeys(blocks, list_of(COUNT_OR_0, 4)))
    check_fixed(settings, _FIXED | {"out_channels": settings["in_channels"]})
    if len({width for key in lists for width in settings[key]}) > 1:
        raise CheckpointError(
            f"{lists[0]}={settings[lists[0]]} and {lists[1]}={settings[lists[1]]} have several "
            "widths, and our network has one"
        )
    return settings


def _shortest(counts: list[int]) -> int | list[int]:
    """Return the number of blocks at the three lower resolutions, or one for each, if need be."""
    return counts[1] if list(blocks_of(counts[1])) == counts else counts
