"""Crops, resizes, flips and quantizes images of any size to image_size x image_size pixels."""

import dataclasses

import numpy as np
from jaxtyping import Bool, UInt8, UInt64
from PIL import Image

from pipeline.core.errors import ConfigError
from pipeline.data import randomness
from pipeline.data.unreadable import Unreadable

CROPS = ("random", "center")
RESIZES = ("shrink", "fit", "none")


@dataclasses.dataclass(frozen=True)
class Transform:
    """The transform of each image to a square of image_size.

    Attributes:
      image_size: height and width of the result, in pixels.
      channels: 3 (RGB) or 1 (grey).
      crop: "random" or "center", the position of the square.
      resize: "shrink" scales the largest square down, and refuses smaller images; "fit" also
        enlarges; "none" crops image_size pixels at the image's own resolution.
      flip: mirror every second image, at random, left to right.
      bits: bit depth kept, 1..8: the lower 8 - bits are set to zero.
      binarize: each value becomes 255 with probability value / 255, otherwise 0.
    """

    image_size: int
    channels: int = 3
    crop: str = "center"
    resize: str = "shrink"
    flip: bool = False
    bits: int = 8
    binarize: bool = False

    def __post_init__(self):
        if self.image_size < 1:
            raise ConfigError(f"data.image_size={self.image_size} must be at least 1")
        if self.channels not in (1, 3):
            raise ConfigError(f"data.channels={self.channels} must be 1 (grey) or 3 (RGB)")
        if self.crop not in CROPS:
            raise ConfigError(f"data.crop={self.crop!r} must be one of {', '.join(CROPS)}")
        if self.resize not in RESIZES:
            raise ConfigError(f"data.resize={self.resize!r} must be one of {', '.join(RESIZES)}")
        if not 1 <= self.bits <= 8:
            raise ConfigError(f"data.bits={self.bits} must be between 1 and 8")
        if self.binarize and self.bits < 8:
            raise ConfigError(
                f"data.bits={self.bits} must be 8 with data.binarize, which keeps black and white"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, self.channels)

    @property
    def at_least(self) -> int:
        """The size below which decoding must not shrink an image; 0 to never shrink."""
        return 0 if self.resize == "none" else self.image_size

    def for_evaluation(self) -> "Transform":
        """Return the transform without randomness: centre crop, no flip."""
        return dataclasses.replace(self, crop="center", flip=False)

    def square(
        self, image: UInt8[np.ndarray, "h w k"], bits_y: int, bits_x: int
    ) -> UInt8[np.ndarray, "size size c"]:
        """Crop and resize one image; a random crop uses `bits_y` and `bits_x`, 64 random bits each.

        Raises:
          Unreadable: the image is too small for `resize`.
        """
        image = _with_channels(image, self.channels)
        height, width, _ = image.shape
        shorter = min(height, width)
        if shorter < self.image_size and self.resize != "fit":
            raise Unreadable(
                f"{width}x{height} pixels are too few for image_size={self.image_size}: "
                "lower data.image_size, or set data.resize='fit' to enlarge"
            )
        side = self.image_size if self.resize == "none" else shorter
        if self.crop == "random":
            top, left = (
                randomness.below(bits_y, height - side + 1),
                randomness.below(bits_x, width - side + 1),
            )
        else:
            top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
        return image if side == self.image_size else _resize(image, self.image_size)

    def finish(
        self,
        images: UInt8[np.ndarray, "b size size c"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b size size c"]:
        """Flip the marked images, reduce the bit depth and binarize, in place.

        `noise` is 64 random bits per image.
        """
        if self.flip:
            images[mirrored] = images[mirrored, :, ::-1]
        if self.bits < 8:
            images &= np.uint8(256 - (1 << (8 - self.bits)))
        if self.binarize:
            images[...] = _binarized(images, noise)
        return images


def shrink_shorter_side(
    image: UInt8[np.ndarray, "h w c"], size: int
) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Scale a whole image down so that its shorter side is `size`; keep smaller images."""
    height, width, _ = image.shape
    scale = size / min(height, width)
    if scale >= 1:
        return image
    return _resize(image, max(size, round(height * scale)), max(size, round(width * scale)))


def _binarized(
    images: UInt8[np.ndarray, "b h w c"], noise: UInt64[np.ndarray, " b"]
) -> UInt8[np.ndarray, "b h w c"]:
    """Return 255 with probability value / 255, to one part in 65,536; 0 and 255 are kept."""
    count = images[0].size
    words = randomness.spread(noise, -(-count // 4))
    uniform = words.astype("<u8").view("<u2")[:, :count].reshape(images.shape)
    white = uniform.astype(np.uint32) * 255 < images.astype(np.uint32) << 16
    return white.astype(np.uint8) * np.uint8(255)


def _resize(image: np.ndarray, height: int, width: int | None = None) -> np.ndarray:
    # Pillow's bicubic filter widens its kernel when it shrinks, which prevents aliasing.
    grey = image.shape[2] == 1
    pixels = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if grey else image))
    resized = np.asarray(pixels.resize((width or height, height), Image.Resampling.BICUBIC))
    return resized[:, :, None] if grey else resized


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[:, :, None]
