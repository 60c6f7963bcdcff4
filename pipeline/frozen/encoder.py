"""Frozen encoders of images with their preprocessing, from files of trained weights.

pipeline.frozen says how they are named in recipes and called.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from pipeline.core.construct import load, modules_of, nearest
from pipeline.core.errors import CheckpointError, ConfigError, DataError
from pipeline.core.parameters import ModelDef, abstract
from pipeline.formats import state_dict
from pipeline.frozen import encoder_files, naming
from pipeline.frozen.preprocessing import Preprocessing, of_processor
from pipeline.nn.tokens.vision_transformer import Features

ENCODERS = "pipeline.frozen.encoders"


@dataclasses.dataclass(frozen=True)
class FrozenEncoder:
    """An encoder without its arrays.

    Attributes:
      name: its family, a file of pipeline.frozen.encoders.
      modeldef: the network.
      preprocessing: what is done to images first.
      width: channels of the patches' features.
      patch: pixels along each side of a patch, after preprocessing.
      depth: number of blocks.
      stand_in: whether it is a small one trained with Strata, in place of a published encoder.
    """

    name: str
    modeldef: ModelDef
    preprocessing: Preprocessing
    width: int
    patch: int
    depth: int
    stand_in: bool = False

    def __call__(
        self,
        weights: Mapping[str, Array],
        images: Shaped[Array, "b *t h w c"],
        layers: Sequence[int] = (),
    ) -> Features:
        """Return the features of images, or of each frame of clips, uint8 or in [-1, 1].

        Gradients reach the images, and never the weights. `layers` are numbers of blocks, 1 to
        `depth`, or 0 for the input of the first, whose outputs are wanted without a norm.

        Raises:
          ConfigError: a layer does not exist, or the image is no multiple of the patch.
        """
        self.check_layers(layers)
        self.grid(*images.shape[-3:-1])
        model = self.modeldef.merge(jax.lax.stop_gradient(dict(weights)))
        x = self.preprocessing(images.reshape(-1, *images.shape[-3:]))
        features = model(x, tuple(layers))
        lead = images.shape[:-3]
        return jax.tree.map(
            lambda each: each.astype(jnp.float32).reshape(*lead, *each.shape[1:]), features
        )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of features of an image of height x width pixels.

        Raises:
          ConfigError: the encoder cannot see such an image.
        """
        sides = self.preprocessing.sides(height, width)
        if any(side % self.patch or not side for side in sides):
            near = max(1, round(sides[0] / self.patch)) * self.patch
            raise ConfigError(
                f"{self.name} sees images of {sides[0]}x{sides[1]} pixels, which are no multiples "
                f"of its patches of {self.patch}x{self.patch}: set size, the side to which images "
                f"are resized for it, to {near}, for example"
            )
        return sides[0] // self.patch, sides[1] // self.patch

    def check_layers(self, layers: Sequence[int], where: str = "layers") -> None:
        """Raise ConfigError if there is a layer that does not exist."""
        for number in layers:
            if not 0 <= number <= self.depth:
                raise ConfigError(
                    f"{where}={list(layers)}: {self.name} has the layers 0 to {self.depth}"
                )

    def describe(self) -> dict[str, Any]:
        """Return what a card and config.json say of the encoder."""
        return {
            "name": self.name,
            "width": self.width,
            "depth": self.depth,
            "patch": self.patch,
            "stand_in": self.stand_in,
            "preprocessing": self.preprocessing.describe(),
        }


def create(
    *,
    name: str,
    weights: str = "",
    size: int = 0,
    resize: str = "bicubic",
    crop: int = 0,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    dtype: str = "float32",
    where: str = "teacher",
) -> tuple[FrozenEncoder, dict[str, np.ndarray]]:
    """Return an encoder and its arrays by name.

    Args:
      name: its family, a file of pipeline.frozen.encoders.
      weights: a folder of transformers, or a file of weights (.safetensors, .pth).
      size: side in pixels to which images are resized for the encoder; 0 keeps their size.
      resize: how, a key of pipeline.frozen.preprocessing.RESIZES.
      crop: side of the central square that the encoder sees of them; 0 for everything.
      mean, std: of each channel, in place of those that the encoder comes with.
      dtype: type that it computes in, but for norms and softmax.
      where: the setting that names the encoder, for messages.

    Raises:
      ConfigError: an unknown family or setting, or no weights; the message says where to get them.
      DataError, CheckpointError: the weights are missing, damaged or another network's.
    """
    known = modules_of(ENCODERS)
    if name not in known:
        raise ConfigError(f"{where}.name={name!r}: {nearest(name, known)}")
    family: Any = load(ENCODERS, name, where=where)
    if not weights:
        raise ConfigError(
            f"{where}.weights is empty: the trained weights of {name} are needed, and none come "
            f"with Strata; get them from {family.SOURCE}, and give the folder or file"
        )
    if dtype not in ("float32", "bfloat16"):
        raise ConfigError(f"{where}.dtype={dtype!r} must be 'float32' or 'bfloat16'")
    modeldef, arrays, normalization, stand_in = _read(name, weights, dtype)
    own = {key: tuple(map(float, value)) for key, value in (("mean", mean), ("std", std)) if value}
    for key, value in own.items():
        if len(value) != 3:
            raise ConfigError(f"{where}.{key}={list(value)} must have three values")
    preprocessing = dataclasses.replace(normalization, size=size, resize=resize, crop=crop, **own)
    model = modeldef.skeleton()
    preprocessing.check(model.patch, where)
    width = arrays["embed.kernel"].shape[1]
    encoder = FrozenEncoder(
        name, modeldef, preprocessing, width, model.patch, len(model.blocks), stand_in
    )
    return encoder, arrays


# The terms and the stages of a run share them.
@functools.lru_cache(maxsize=2)
def _read(
    name: str, path: str, dtype: str
) -> tuple[ModelDef, dict[str, np.ndarray], Preprocessing, bool]:
    family: Any = load(ENCODERS, name, where="name")
    try:
        tensors, config, processor = encoder_files.read(path)
    except DataError as error:
        raise DataError(f"{error}; weights of {name}: {family.SOURCE}") from None
    kind = config.get("model_type")
    if kind is not None and kind not in family.MODEL_TYPES:
        raise CheckpointError(
            f"{path} is a {kind!r}, and {name} is {' or '.join(map(repr, family.MODEL_TYPES))}"
        )
    modeldef, arrays = convert(family, tensors, config, path, jnp.dtype(dtype))
    # The folder of a codec states its model.
    return modeldef, arrays, of_processor(processor, family.PREPROCESSING), "model" in config


def convert(
    family: Any, tensors: Mapping[str, Any], config: Mapping[str, Any], path: str, dtype: Any
) -> tuple[ModelDef, dict[str, np.ndarray]]:
    """Return the network of a file's tensors, and its arrays.

    Raises:
      CheckpointError: the file holds another network.
    """
    chosen, prefix = naming.choose(family.NAMINGS, tensors, path)
    tensors = naming.without_prefix(tensors, prefix)
    try:
        sizes = family.settings(tensors, config)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} is damaged, or not of this family: a tensor is missing"
        ) from None
    key = jax.random.key(0)
    modeldef, shapes, _ = abstract(lambda: family.create(**sizes, key=key, dtype=dtype))
    arrays = state_dict.convert(
        tensors,
        shapes,
        lambda name: chosen.source(name, shapes[name].shape),
        path=path,
        ignored=[name for name in tensors if chosen.ignores(name)],
    )
    return modeldef, arrays


def arrays_for(name: str, path: str, network: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of a file for a network of these settings, a part of some model.

    A last norm without scale and shift leaves the file's out, and a mask token is 0 if the file has
    none.

    Raises:
      DataError, CheckpointError: the file is missing, damaged or another network's.
    """
    family: Any = load(ENCODERS, name, where="name")
    try:
        tensors, _, _ = encoder_files.read(path)
    except DataError as error:
        raise DataError(f"{error}; weights of {name}: {family.SOURCE}") from None
    chosen, prefix = naming.choose(family.NAMINGS, tensors, path)
    tensors = naming.without_prefix(tensors, prefix)
    key = jax.random.key(0)
    _, shapes, _ = abstract(lambda: family.create(**network, key=key))
    absent = {}
    if "mask_token.vectors" in shapes:
        theirs, _ = chosen.source("mask_token.vectors", shapes["mask_token.vectors"].shape)
        if theirs not in tensors:
            absent = {
                "mask_token.vectors": np.zeros(shapes["mask_token.vectors"].shape, np.float32)
            }
    ignored = [each for each in tensors if chosen.ignores(each)]
    if "norm.scale" not in shapes:
        ignored += [chosen.source(f"norm.{leaf}", ())[0] for leaf in ("scale", "bias")]
    found = state_dict.convert(
        tensors,
        {key: shape for key, shape in shapes.items() if key not in absent},
        lambda name: chosen.source(name, shapes[name].shape),
        path=path,
        hint=" (config.model.encoder.network)",
        ignored=ignored,
    )
    return found | absent
