"""Streams of frames and latents: each item is checked on arrival, and the size is tracked."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from pipeline.codec.checks import checked_latents
from pipeline.codec.tiling.padding import Size, refuse_larger
from pipeline.core.errors import DataError


class Frames:
    """An iterable of a clip's frames [h w c], checked to have one size and dtype.

    Attributes:
      count: frames taken so far.
      shape: shape of every frame; None before the first.

    Raises:
      DataError: on iteration, if an item is not a frame or differs from the frames before it, or if
        there are no frames.
    """

    def __init__(self, frames: Any, channels: int):
        self._frames, self._channels = _iterator(frames, "encode_frames", "frames"), channels
        self._dtype: Any = None
        self.shape: tuple[int, int, int] | None = None
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for frame in self._frames:
            self._check(
                getattr(frame, "shape", None), getattr(frame, "dtype", None), type(frame).__name__
            )
            self.count += 1
            yield frame
        if not self.count:
            raise DataError("encode_frames: there are no frames, and a clip has at least one")

    def _check(self, shape: Any, dtype: Any, name: str) -> None:
        where = f"encode_frames: frame {self.count}"
        if shape is None or len(shape) != 3 or shape[-1] != self._channels or 0 in shape:
            found = name if shape is None else list(shape)
            raise DataError(
                f"{where} is {found}, and this codec takes arrays [height width {self._channels}]"
            )
        if self.shape is None:
            self.shape, self._dtype = tuple(shape), dtype
        if (tuple(shape), dtype) != (self.shape, self._dtype):
            now, before = (
                f"{shape[0]}x{shape[1]} {dtype}",
                f"{self.shape[0]}x{self.shape[1]} {self._dtype}",
            )
            raise DataError(
                f"{where} is {now}, but earlier frames are {before}: "
                "all frames of a clip have one size and dtype"
            )


class LatentStream:
    """An iterator over a clip's latents, one chunk [t h w d] at a time, that tracks its size.

    They may be indices of codes, [t h w] or [t h w m].
    """

    def __init__(self, frames: Frames, latents: Iterator[Shaped[np.ndarray, "t h w *d"]]):
        self._frames, self._latents = frames, latents

    def __iter__(self) -> "LatentStream":
        return self

    def __next__(self) -> Shaped[np.ndarray, "t h w *d"]:
        return next(self._latents)

    @property
    def size(self) -> tuple[int, int, int] | None:
        """(frames, height, width) taken so far, without padding; None before the first frame.

        It is the size of the clip once the latents are exhausted.
        """
        shape = self._frames.shape
        return None if shape is None else (self._frames.count, shape[0], shape[1])


def single_latents(pieces: Any, channels: int) -> Iterator[Float[np.ndarray, "h w d"]]:
    """Yield latent frames [h w d] one by one, from pieces [t h w d] of any length.

    Raises:
      DataError: `pieces` is not iterable; on iteration, if a piece is not a latent of this codec,
        is not of finite floats or differs in size from those before it, or if there are none.
    """
    return _single(_iterator(pieces, "decode_frames", "pieces of latents"), channels)


def _single(pieces: Iterator[Any], channels: int) -> Iterator[Float[np.ndarray, "h w d"]]:
    size, none = None, True
    for index, piece in enumerate(pieces):
        shape = tuple(getattr(piece, "shape", ()))
        where = f"decode_frames: piece {index} of the latents"
        if len(shape) != 4 or shape[-1] != channels or 0 in shape[1:]:
            found = list(shape) if hasattr(piece, "shape") else type(piece).__name__
            raise DataError(
                f"{where} is {found}, and this codec takes [frames height width {channels}]"
            )
        size = size or shape[1:3]
        if shape[1:3] != size:
            raise DataError(
                f"{where} is {shape[1]}x{shape[2]}, but earlier pieces are {size[0]}x{size[1]}"
            )
        checked_latents(piece, where)
        none = none and not shape[0]
        yield from np.asarray(piece)
    if none:
        raise DataError("decode_frames: there are no latents, and a clip has at least one frame")


def crop_frames(
    frames: Iterable[UInt8[np.ndarray, "h w c"]], size: Size, stream: LatentStream | None
) -> Iterator[UInt8[np.ndarray, "h w c"]]:
    """Yield decoded frames cropped to `size`, or to the size of the encoded `stream`.

    A frame is decoded after its original was taken by `stream`, so a frame beyond the count taken
    is padding.

    Raises:
      DataError: there are fewer or smaller frames than `size` asks for.
    """
    done = 0
    for frame in itertools.islice(frames, size[0]):
        refuse_larger((None, *size[1:]), (None, *frame.shape[:2]))
        count, height, width = (stream and stream.size) or size
        if stream and count is not None and done >= count:
            return
        yield frame[:height, :width]
        done += 1
    refuse_larger(size, (done, None, None))


def _iterator(items: Any, where: str, what: str) -> Iterator[Any]:
    try:
        return iter(items)
    except TypeError:
        raise DataError(
            f"{where} takes an iterable of {what}, not {type(items).__name__}"
        ) from None
