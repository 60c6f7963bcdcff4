"""IV-VAE of ali-vilab/iv-vae, a video codec with key frames; the authors' file becomes a codec.

The sizes are read from the shapes of the tensors. The statistics of the latents are in the authors'
code, and are known by the sizes of their four models.
"""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.codec import latent_stats
from pipeline.core.errors import CheckpointError
from pipeline.formats import state_dict
from pipeline.formats.state_dict import Layout, conv, pointwise, same, vector
from pipeline.importers import Imported, provenance, shapes_of
from pipeline.published import _rules

FILES = ("FILE",)
# (scale, shift) of the authors' models by latent channels and width; z' = scale * (z - shift).
_STATISTICS = {
    (4, 64): (1.3196, 0.1250),
    (8, 64): (1.0940, -0.0322),
    (16, 64): (0.9697, -0.1553),
    (16, 96): (0.7619, -0.0483),
}
_LAYERS = {"encoder": "downsamples", "decoder": "upsamples"}
_BLOCKS = {"norm1": "0", "conv1": "2", "norm2": "3", "conv2": "6"}


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Read the file into `model`, or into the model that its shapes describe.

    Raises:
      DataError: the file is missing or damaged.
      CheckpointError: it holds another kind of model, or one that does not fit.
    """
    (path,) = paths
    file = pathlib.Path(path)
    is_safe = file.suffix == ".safetensors"
    tensors = state_dict.load_safetensors(file) if is_safe else state_dict.load(path)
    try:
        tensors = _with_whole_quant_convs(tensors)
        model = recipe(tensors) if model is None else model
    except (KeyError, IndexError, ValueError):
        raise CheckpointError(
            f"{path} is not an IV-VAE of the authors: it lacks the tensors that have its sizes"
        ) from None
    arrays = state_dict.convert(tensors, shapes_of(model), rule(), path=path)
    return Imported(model, arrays, statistics(model), provenance(__name__, paths))


def recipe(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return config.model of the network. Raises KeyError or ValueError for another kind."""
    width = len(tensors["encoder.conv1.conv_2d.bias"])
    latents = tensors["decoder.conv1.conv.weight"].shape[1]
    # The blocks of the clip's resolution come first, before its halving.
    downs = [
        int(name.split(".")[2])
        for name in tensors
        if ".downsamples." in name and ".resample_2d.1.bias" in name
    ]
    ups = [
        int(name.split(".")[2])
        for name in tensors
        if ".upsamples." in name and ".resample_2d.1.bias" in name
    ]
    blocks = {"encoder": min(downs), "decoder": min(ups) // 2}
    return {
        "name": "autoencoder.Autoencoder",
        "image_size": 256,
        "num_frames": 17,
        "latent_channels": latents,
        "quant_convs": True,
        "encoder": {
            "name": "video.iv_vae.Encoder",
            "width": width,
            "num_blocks": blocks["encoder"],
        },
        "bottleneck": {"name": "gaussian.Gaussian"},
        "decoder": {
            "name": "video.iv_vae.Decoder",
            "width": width,
            "num_blocks": blocks["decoder"],
        },
    }


def statistics(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics of each latent channel of the authors' models; {} for other sizes."""
    channels = model["latent_channels"]
    found = _STATISTICS.get((channels, model["encoder"].get("width", 64)))
    if found is None:
        return {}
    scale, shift = found
    return latent_stats.summary([shift] * channels, [1 / scale] * channels)


def _with_whole_quant_convs(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors with each pair of 1x1 convolutions around the latents as one.

    Each half of the encoder's gives half of the means and then half of the log-variances.
    """
    found = dict(tensors)
    for name in ("conv1", "conv2"):
        for leaf in ("weight", "bias"):
            flat, deep = (found.pop(f"{name}.conv_{kind}.{leaf}") for kind in ("2d", "3d"))
            deep = deep.reshape(flat.shape)
            halves = [flat, deep]
            if name == "conv1":
                means, logvars = zip(*(np.split(half, 2) for half in halves))
                halves = [*means, *logvars]
            found[f"{name}.{leaf}"] = np.concatenate(halves)
    return found


def rule() -> Callable[[str], tuple[str, Layout]]:
    """Return the rule for the authors' names, with whole convolutions around the latents."""
    table = _rules.rule(_modules(), _KERNELS)

    def source(name: str) -> tuple[str, Layout]:
        attention = re.fullmatch(r"(.*\.(?:flat|deep))\.(query|key|value)\.(kernel|bias)", name)
        if attention:  # one tensor for the three
            part = ("query", "key", "value").index(attention[2])
            theirs, _ = table(f"{attention[1]}.out.{attention[3]}")
            layout = pointwise(2) if attention[3] == "kernel" else same
            return theirs.replace(".proj.", ".to_qkv."), layout.of_part(part, 3)
        theirs, layout = table(name)
        if name.endswith(".scale"):
            trailing = 2 if "Attention" in theirs else 3
            return theirs.replace(".weight", ".gamma"), vector(trailing)
        return theirs, layout

    return source


_KERNELS = {
    r".*\.layers\.\d+\.(flat|deep)\.out|.*\.middle\.1\.(flat|deep)\.out": pointwise(2),
    r".*\.conv(1|2|_in|_out)\.deep|encoder\.layers\.\d+\.time": state_dict.conv3d,
    r".*\.shortcut\.deep|decoder\.layers\.\d+\.time": _rules.framewise,
    r".*": conv,
}


def _modules() -> list[tuple[str, str]]:
    """Return the names of our modules, and theirs."""
    found = [
        (r"quant_conv", "conv1"),
        (r"post_quant_conv", "conv2"),
        (r"encoder\.conv_in\.flat", "encoder.conv1.conv_2d"),
        (r"encoder\.conv_in\.deep", "encoder.conv1.conv_3d"),
        (r"decoder\.conv_in", "decoder.conv1.conv"),
        (r"(encoder|decoder)\.norm_out", r"\1.head.0"),
        (r"decoder\.conv_out\.flat", "decoder.head.2.conv_2d"),
        (r"decoder\.conv_out\.deep", "decoder.head.2.conv_3d"),
        (r"encoder\.conv_out\.conv", "encoder.head.2.PAC_conv.conv"),
    ]
    for branch, distance in enumerate((0, 1, 3, 6, 9, 12)):
        found.append(
            (rf"encoder\.conv_out\.branches\.{branch}", f"encoder.head.2.PAC_{distance}.conv")
        )
    for side, layers in _LAYERS.items():
        for ours, theirs in (("layers", layers), ("middle", "middle")):
            here, there = rf"{side}\.{ours}\.(\d+)", rf"{side}.{theirs}.\1"
            for part, place in _BLOCKS.items():
                found += _both(rf"{here}\.{part}", rf"{there}.residual.{place}")
            found += _both(rf"{here}\.shortcut", rf"{there}.shortcut")
            for half, name in (("flat", "2d"), ("deep", "3d")):
                attention = rf"{there}.Attention_{name}"
                found += [
                    (rf"{here}\.{half}\.out", f"{attention}.proj"),
                    (rf"{here}\.{half}\.norm", f"{attention}.norm"),
                    (rf"{here}\.space\.{half}", rf"{there}.resample_{name}.1"),
                ]
            found.append((rf"{here}\.time", rf"{there}.time_conv"))
    return found


def _both(ours: str, theirs: str) -> list[tuple[str, str]]:
    """Return the names of a norm, of a convolution within frames, and of a pair of them."""
    is_norm = re.search(r"\.norm[12]$", ours) is not None
    if is_norm:
        return [(ours, theirs)]
    pair = [(rf"{ours}\.flat", f"{theirs}.conv_2d"), (rf"{ours}\.deep", f"{theirs}.conv_3d")]
    return [*pair, (ours, f"{theirs}.conv")]
