"""Sizes of a codec's latents and frames, and the padding of clips to sizes that it takes."""

import dataclasses
from typing import Any

from pipeline.codec.tiling import padding
from pipeline.core.windows import Windows


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How the size of a clip, or an image, and that of its latents depend on one another.

    Attributes:
      is_video: whether there is an axis of time.
      spatial_factor, temporal_factor: pixels and frames to a latent.
      latent_channels: numbers of a latent.
      windows: the fixed windows of time in which the codec codes every clip, or None.
    """

    is_video: bool
    spatial_factor: int
    temporal_factor: int
    latent_channels: int
    windows: Windows | None = None

    def num_frames(self, latents: int) -> int:
        """Return the number of frames that latents decode to."""
        if self.windows is not None:
            return self.windows.num_frames(latents)
        return 1 + self.temporal_factor * (latents - 1)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the shape (t, h, w, d) of the latents of a clip, or of an image with frames=1."""
        if self.windows is not None:
            frames = self.windows.num_latents(self.windows.padded(frames))
        elif self.is_video:
            frames = 1 + -(-(frames - 1) // self.temporal_factor)
        return (
            frames,
            -(-height // self.spatial_factor),
            -(-width // self.spatial_factor),
            self.latent_channels,
        )

    def padded(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Return frames, height and width of a clip once `pad` has filled it."""
        latents, rows, columns, _ = self.latent_shape(frames, height, width)
        frames = self.num_frames(latents) if self.is_video else 1
        return frames, rows * self.spatial_factor, columns * self.spatial_factor

    def pad(self, x: Any, before: int = 0) -> tuple[Any, str]:
        """Return images or clips of a size that the codec takes, and a message; see padding.pad."""
        return padding.pad(
            x,
            spatial_factor=self.spatial_factor,
            temporal_factor=self.temporal_factor,
            windows=self.windows,
            before=before,
        )
