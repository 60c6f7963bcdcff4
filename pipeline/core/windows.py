"""Windows of time that belong to a codec: it was trained on clips cut like this, and is coded so.

A network that sees a whole window at once (through norms over its frames, say) gives other latents
for another cut. The networks of such a codec have an attribute `windows`, the model passes it on,
and everything that codes a clip cuts it in the same places: the model itself
(pipeline.nn.clips.windows), a codec in chunks and streams (pipeline.codec.tiling), and training.

    class Encoder(nnx.Module):
        windows = Windows(size=8, stride=8, factor=4, first_apart=True)     # CogVideoX
        windows = Windows(size=24, stride=16, factor=4)                     # Allegro

Consecutive windows (stride = size) hand a feature cache on: the network takes `cache`
(pipeline.nn.cache), and is called once for each window. Frames that fill no window join the first
one. Overlapping windows (stride < size) are coded independently, and their latents, or frames, are
blended linearly where they overlap.
"""

import dataclasses

from pipeline.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Windows:
    """The windows of a codec, in frames; the decoder's are the same ones in latents.

    Attributes:
      size: frames of a window; stride: frames from the start of one to the start of the next.
      factor: frames to a latent.
      first_apart: whether the first frame of a clip has a latent of its own. Clips then have
        1 + k * stride frames, and without it size + k * stride. An odd number of latents has such a
        latent in front; an even number, which only `decode` is given, has none.
    """

    size: int
    stride: int
    factor: int
    first_apart: bool = False

    def __post_init__(self):
        if self.stride > self.size or self.size % self.factor or self.stride % self.factor:
            raise ConfigError(
                f"{self}: the stride must not exceed the size, and both be multiples of the factor"
            )
        if self.first_apart and not (self.consecutive and self.size == 2 * self.factor):
            raise ConfigError(f"{self}: first_apart needs consecutive windows of two latents")

    @property
    def consecutive(self) -> bool:
        """Whether windows do not overlap, and each begins where the cache of the last one ends."""
        return self.stride == self.size

    @property
    def overlap(self) -> int:
        """Frames that a window shares with the one before it."""
        return self.size - self.stride

    @property
    def shortest(self) -> int:
        """Frames of the shortest clip."""
        return 1 if self.first_apart else self.size

    @property
    def lengths(self) -> str:
        """The valid numbers of frames of a clip, such as "1 + 8k"."""
        return f"{self.shortest} + {self.stride}k"

    def padded(self, frames: int) -> int:
        """Return the smallest length of a clip that is not below `frames`."""
        more = max(0, frames - self.shortest)
        return self.shortest + -(-more // self.stride) * self.stride

    def num_latents(self, frames: int) -> int:
        """Return the number of latents of a clip of a valid length."""
        return -(-frames // self.factor) if self.first_apart else frames // self.factor

    def num_frames(self, latents: int) -> int:
        """Return the number of frames that latents decode to."""
        extra = self.factor - 1 if self.first_apart and latents % 2 else 0
        return latents * self.factor - extra

    def spans(self, count: int, *, unit: int = 1) -> list[tuple[int, int]]:
        """Return start and end of each window of `count` frames, or with unit=factor of latents.

        Raises:
          ValueError: overlapping windows do not end where the clip does.
        """
        size, stride = self.size // unit, self.stride // unit
        if self.consecutive:
            first = count - (max(1, count // size) - 1) * size
            starts = [0, *range(first, count, size)]
            return list(zip(starts, [*starts[1:], count]))
        if count < size or (count - size) % stride:
            raise ValueError(
                f"windows of {size} with stride {stride} take {size} + {stride}k, not {count}"
            )
        return [(start, start + size) for start in range(0, count - size + 1, stride)]
