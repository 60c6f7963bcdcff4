"""What terms share that align a codec's features with those of a frozen encoder of images.

A recipe names the encoder as `teacher=dict(name=..., weights=...)`, see pipeline.frozen; a learned
projection takes the codec's features to the teacher's channels.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Batch, Outputs, pixels_of
from pipeline.frozen import encoder as encoders

Map = Float[Array, "b ..."]  # [b h w c] of images, [b t h w c] of clips


def create_teacher(teacher: Mapping[str, Any], where: str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the frozen encoder that a recipe names, and its arrays by name.

    Raises:
      ConfigError: no teacher is named, or its weights are missing.
    """
    if not teacher:
        raise ConfigError(
            f"{where}.teacher is missing: name a frozen encoder and its file, such as "
            "dict(name='dinov2', weights='dinov2_vitl14_pretrain.pth')"
        )
    return encoders.create(**teacher, where=f"{where}.teacher")


def teacher_features(teacher: Any, frozen: Mapping[str, Array], batch: Batch) -> Map:
    """Return the teacher's features of a batch's images, or of each frame of its clips."""
    return jax.lax.stop_gradient(teacher(frozen, pixels_of(batch)).patches)


def codec_features(outputs: Outputs, layer: str) -> Map:
    """Return the output of a layer of the codec, or its latents if `layer` is "".

    Raises:
      ConfigError: they are on no grid.
    """
    found = outputs.aux["layers"][layer] if layer else outputs.latents[0].z
    if found.ndim not in (4, 5):
        raise ConfigError(
            f"{layer or 'the latents'} of shape {list(found.shape[1:])}, without the batch, are "
            "on no grid of rows and columns: name a layer that is, to compare with a teacher's"
        )
    return found.astype(jnp.float32)


def on_grid_of(features: Map, target: Map) -> Map:
    """Return a teacher's features on the grid of a codec's: `target` is [b t h w d] or [b h w d].

    Rows and columns are resized bilinearly. Frames are averaged over those that a latent frame
    stands for: the first is alone where there are 1 + k groups, as causal codecs have them.

    Raises:
      ConfigError: the frames are no such groups.
    """
    if features.ndim < target.ndim:
        features = features[:, None]  # an image is a clip of one frame
    if features.ndim == 5:
        features = _by_latent_frame(features, target.shape[1])
    shape = (*features.shape[:-3], *target.shape[-3:-1], features.shape[-1])
    return features if shape == features.shape else jax.image.resize(features, shape, "linear")


def _by_latent_frame(features: Map, wanted: int) -> Map:
    frames = features.shape[1]
    if frames == wanted:
        return features
    first = (frames - 1) % (wanted - 1) == 0 if wanted > 1 else False
    if not first and frames % wanted:
        raise ConfigError(
            f"{frames} frames of a teacher's features do not fit {wanted} frames of latents"
        )
    alone, rest = (features[:, :1], features[:, 1:]) if first else (None, features)
    groups = wanted - 1 if first else wanted
    means = rest.reshape(len(rest), groups, -1, *rest.shape[2:]).mean(axis=2)
    return means if alone is None else jnp.concatenate([alone, means], axis=1)


def project(
    features: Map, layers: Mapping[str, Array], where: str, teacher: Map
) -> Float[Array, "..."]:
    """Return features after linear layers "kernel0", "bias0", "kernel1", ..., with SiLU between.

    Raises:
      ConfigError: the channels are not those of the codec or of the teacher.
    """
    depth = sum(name.startswith("kernel") for name in layers)
    sizes = layers["kernel0"].shape[0], layers[f"kernel{depth - 1}"].shape[1]
    for what, key, channels, size in (
        ("the codec's layer", "channels", features.shape[-1], sizes[0]),
        ("the teacher", "teacher_channels", teacher.shape[-1], sizes[1]),
    ):
        if channels != size:
            raise ConfigError(
                f"{where}.{key}={size}, but {what} has {channels}: set {key}={channels}"
            )
    for number in range(depth):
        features = features @ layers[f"kernel{number}"]
        if f"bias{number}" in layers:
            features = features + layers[f"bias{number}"]
        features = features if number == depth - 1 else jax.nn.silu(features)
    return features


def projection(widths: tuple[int, ...], *, use_bias: bool = True) -> dict[str, np.ndarray]:
    """Return first values of the linear layers of `project`, as torch draws them by default."""
    rng = np.random.default_rng(0)
    layers = {}
    for number, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        bound = max(inputs, 1) ** -0.5
        layers[f"kernel{number}"] = rng.uniform(-bound, bound, (inputs, outputs))
        if use_bias:
            layers[f"bias{number}"] = rng.uniform(-bound, bound, outputs)
    return {name: values.astype(np.float32) for name, values in layers.items()}


def normalized(x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Return vectors of norm 1; vectors of zeros stay zeros."""
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis=-1, keepdims=True), 1e-24))
