"""Our image codec, inflated in time; a codec folder becomes a run of a configs/cv_vae recipe.

The image codec has the networks of pipeline.networks.ldm; the video codec has the networks of
pipeline.networks.cv_vae and starts as equal to the image codec.

A causal kernel has the image's kernel in its last frame, and a centred one in its middle frame; the
other frames are zero. Where one frame becomes two, both use the image's kernel. Attention over time
starts with an output of zero. With norms per frame, the result encodes a clip as the image codec
encodes each of the frames that it keeps.

The 1x1 convolutions around an image codec's latents are merged into their neighbours. This is exact
except for the bias of the one before the decoder, at the image's border: the padding there is then
zero, and not the bias.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pipeline.codec import folder
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.formats.names import first_few
from pipeline.importers import Imported, provenance, shapes_of

FILES = ("CODEC",)


def read(paths: Sequence[str], model: Mapping[str, Any] | None = None) -> Imported:
    """Inflate the codec in a codec folder into `model`.

    Raises:
      ConfigError: there is no `model`, or no such folder.
      CheckpointError: the folder is damaged, or holds a codec that does not fit.
    """
    if model is None:
        raise ConfigError(
            "--config FILE is missing: give the recipe of the video codec, such as "
            "configs/cv_vae/sd21.py"
        )
    arrays = convert(load(paths), shapes_of(model), path=paths[0])
    return Imported(model, arrays, {}, provenance(__name__, paths))


def load(paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the weights, without 1x1 convolutions around the latents.

    Raises:
      ConfigError: there is no such folder.
      CheckpointError: the folder is damaged, or holds another model.
    """
    _, weights, config, _ = folder.read(paths[0])
    found = config["model"].get("encoder", config["model"])["name"]
    if found != "ldm.Encoder":
        raise CheckpointError(
            f"{paths[0]} is a codec with {found}; only one with ldm.Encoder can be inflated"
        )
    return without_quant_convs({name: np.asarray(array) for name, array in weights.items()})


def without_quant_convs(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Merge the 1x1 convolutions, if there are any, into encoder.conv_out and decoder.conv_in."""
    changed = {name: array for name, array in weights.items() if "quant_conv" not in name}
    if "quant_conv.kernel" in weights:
        after = weights["quant_conv.kernel"][0, 0]
        changed["encoder.conv_out.kernel"] = weights["encoder.conv_out.kernel"] @ after
        changed["encoder.conv_out.bias"] = (
            weights["encoder.conv_out.bias"] @ after + weights["quant_conv.bias"]
        )
    if "post_quant_conv.kernel" in weights:
        kernel = weights["decoder.conv_in.kernel"]
        changed["decoder.conv_in.kernel"] = weights["post_quant_conv.kernel"][0, 0] @ kernel
        bias = np.einsum("c,uvcd->d", weights["post_quant_conv.bias"], kernel)
        changed["decoder.conv_in.bias"] = weights["decoder.conv_in.bias"] + bias
    return changed


def convert(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, jax.ShapeDtypeStruct], *, path: str
) -> dict[str, np.ndarray]:
    """Return the parameters for the `shapes` of a CV-VAE.

    Raises:
      CheckpointError: the image codec has another size.
    """
    weights, missing, wrong, unused = {}, [], [], set(tensors)
    for name, wanted in shapes.items():
        if ".temporal_attention." in name:
            weights[name] = _attention_over_time(name, wanted.shape)
            continue
        if name not in tensors:
            missing.append(name)
            continue
        unused.discard(name)
        weights[name] = _inflated(name, tensors[name], wanted.shape)
        if weights[name].shape != wanted.shape:
            wrong.append(
                f"{name} (inflated {list(weights[name].shape)}, "
                f"and the recipe has {list(wanted.shape)})"
            )
    found = [
        ("missing", missing),
        ("unknown to the recipe", sorted(unused)),
        ("of another shape", wrong),
    ]
    problems = [f"{len(names)} {what}: {first_few(names)}" for what, names in found if names]
    if problems:
        raise CheckpointError(
            f"{path} is not an image codec of the recipe's size; tensors {'; '.join(problems)}"
        )
    return weights


def _inflated(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if name.startswith("decoder.") and ".resample." in name and shape[-1] == 2 * array.shape[-1]:
        array = np.concatenate([array, array], axis=-1)
    if len(shape) != 5:
        return np.asarray(array, np.float32)
    frames = shape[0]
    kernel = np.zeros((frames, *array.shape), np.float32)
    kernel[frames - 1 if name.startswith("encoder.") else frames // 2] = array
    return kernel


def _attention_over_time(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the initial value of attention over time: torch's default, with an output of zero."""
    if name.endswith(".scale"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias") or ".out." in name:
        return np.zeros(shape, np.float32)
    bound = shape[0] ** -0.5
    seed = sum(name.encode())
    return np.random.default_rng(seed).uniform(-bound, bound, shape).astype(np.float32)
