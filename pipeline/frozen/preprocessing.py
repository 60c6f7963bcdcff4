"""What is done to images before a frozen encoder sees them; it is stored with the encoder."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pipeline.core import pixels
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.nn.tokens.bicubic import bicubic

Images = Float[Array, "b h w c"]
Resized = Float[Array, "b h2 w2 c2"]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _jax_resize(method: str, antialias: bool) -> Callable[[Images, int, int], Resized]:
    def resize(x: Images, height: int, width: int) -> Resized:
        shape = (x.shape[0], height, width, x.shape[-1])
        return jax.image.resize(x, shape, method, antialias=antialias)

    return resize


# All place pixel centers as torch does with align_corners=False.
RESIZES: Mapping[str, Callable[[Images, int, int], Resized]] = {
    "bilinear": _jax_resize("linear", False),
    "bilinear_antialiased": _jax_resize("linear", True),
    "bicubic": bicubic,
    "bicubic_antialiased": _jax_resize("cubic", True),
}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Resizing, cropping and normalization of images.

    Attributes:
      mean, std: of each channel, for pixels in [0, 1].
      size: side in pixels to which images are resized, whatever their shape; 0 keeps their size.
      resize: a key of RESIZES.
      crop: side in pixels of the central square that is kept after resizing; 0 keeps everything.
    """

    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    size: int = 0
    resize: str = "bicubic"
    crop: int = 0

    def __call__(self, images: Shaped[Array, "b h w c"]) -> Resized:
        """Return normalized images of images that are uint8 or in [-1, 1]; grey ones become RGB."""
        x = pixels.to_float(images)
        x = x if x.shape[-1] == 3 else jnp.repeat(x, 3, axis=-1)
        if self.size and x.shape[1:3] != (self.size, self.size):
            x = RESIZES[self.resize](x, self.size, self.size)
        if self.crop:
            top, left = ((side - self.crop) // 2 for side in x.shape[1:3])
            x = x[:, top : top + self.crop, left : left + self.crop]
        return ((x + 1) / 2 - jnp.asarray(self.mean)) / jnp.asarray(self.std)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width in pixels of what the encoder sees of such images."""
        height, width = (self.size, self.size) if self.size else (height, width)
        return (self.crop, self.crop) if self.crop else (height, width)

    def check(self, patch: int, where: str) -> None:
        """Raise ConfigError for settings that cannot work with patches of so many pixels."""
        if self.resize not in RESIZES:
            raise ConfigError(f"{where}.resize={self.resize!r}: {nearest(self.resize, RESIZES)}")
        for key in ("size", "crop"):
            side = getattr(self, key)
            if side < 0 or side % patch:
                raise ConfigError(
                    f"{where}.{key}={side} must be a multiple of {patch}, the side of a patch, or 0"
                )
        if self.size and self.crop > self.size:
            raise ConfigError(f"{where}.crop={self.crop} must be at most size={self.size}")

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values, as cards and config.json record them."""
        found = dataclasses.asdict(self)
        return found | {key: list(found[key]) for key in ("mean", "std")}


def of_processor(settings: Mapping[str, Any], published: Preprocessing) -> Preprocessing:
    """Return the normalization that a folder's preprocessor_config.json states, or else the
    published models'.

    Sizes are left out: they are those of one task, and a recipe says its own.
    """
    mean, std = (settings.get(f"image_{key}", []) for key in ("mean", "std"))
    if not (_three(mean) and _three(std)):
        return published
    return dataclasses.replace(published, mean=tuple(map(float, mean)), std=tuple(map(float, std)))


def _three(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3
