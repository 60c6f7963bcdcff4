"""A clip of a video: its first frame, and the times of the others."""

import dataclasses
import fractions
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.core.errors import ConfigError
from pipeline.data.unreadable import Unreadable

SHORTS = ("skip", "repeat")
# Starts drawn if a file turns out shorter than its header says; after them, its first frame.
_TRIES = 3
Pixels = UInt8[np.ndarray, "h w 3"]


@runtime_checkable
class Timed(Protocol):
    """Frames with times: a VideoFile of pipeline.data.media.video_file, or a Filmstrip.

    VideoFile documents the attributes.
    """

    tick: fractions.Fraction
    rate: fractions.Fraction
    rounding: fractions.Fraction
    begin: int
    end: int
    trouble: str

    def frames_from(self, tick: int) -> Iterator[Any]:
        """Yield frames, beginning with one at or before `tick`."""
        ...


@dataclasses.dataclass(frozen=True)
class Clip:
    """The frames of a clip.

    Attributes:
      num_frames: number of frames; which lengths a model takes is checked with the model.
      fps: frames per second, each the frame that is displayed at its time; 0 uses the file's frames
        as they are.
      stride: use every stride-th of these frames.
      short: for a video with too few frames, "skip" raises Unreadable, and "repeat" repeats its
        last frame.
    """

    num_frames: int
    fps: float | int = 0
    stride: int = 1
    short: str = "skip"

    def __post_init__(self):
        if self.num_frames < 1:
            raise ConfigError(f"data.num_frames={self.num_frames} must be at least 1")
        if not isinstance(self.fps, int | float) or not 0 <= self.fps < math.inf:
            raise ConfigError(f"data.fps={self.fps!r} must be a number, 0 or more")
        if self.stride < 1:
            raise ConfigError(f"data.stride={self.stride} must be at least 1")
        if self.short not in SHORTS:
            raise ConfigError(f"data.short={self.short!r} must be one of {', '.join(SHORTS)}")

    def take(
        self, video: Timed, place: Callable[[int], int], render: Callable[[Any], Pixels]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Return rendered frames from tick begin + place(room) on; `room` ticks can be the start.

        The result depends only on place(), not on earlier reads. If the file has fewer frames than
        its header says, the start is drawn again among the frames that were found.

        Raises:
          Unreadable: there are too few frames; the message has their number.
        """
        fps = fractions.Fraction(self.fps).limit_denominator(10_000) if self.fps else video.rate
        step = self.stride / fps / video.tick
        limit: Any = video.end
        for attempt in range(_TRIES + 1):
            room = max(
                0, math.floor(limit - video.begin - (self.num_frames - 1) * step - video.rounding)
            )
            start = video.begin + (place(room) if room and attempt < _TRIES else 0)
            seen = _Seen(video.frames_from(start))
            if self.fps:
                frames = at_moments(seen, start, step, video.rounding)
            else:
                frames = itertools.islice(since(seen, start + video.rounding), 0, None, self.stride)
            taken = _rendered(itertools.islice(frames, self.num_frames), render)
            if len(taken) == self.num_frames:
                return np.stack(taken)
            if start == video.begin:
                break
            limit = min(max(seen.until, start), limit - (self.num_frames - len(taken)) * step)
        if taken and self.short == "repeat":
            return np.stack(taken + taken[-1:] * (self.num_frames - len(taken)))
        raise Unreadable(self._too_short(len(taken), video.trouble))

    def _too_short(self, found: int, trouble: str) -> str:
        which = f"at {self.fps:g} fps" if self.fps else "as they are"
        stride = f" and stride {self.stride}" if self.stride > 1 else ""
        reason = f" ({trouble})" if trouble else ""
        if not found:
            return f"no frame in it can be decoded{reason}"
        return (
            f"{found} frames {which}{stride}; "
            f"a clip needs {self.num_frames}{reason}: see data.short"
        )


class Filmstrip:
    """Frames in an array, at a constant rate; a tick is a frame."""

    def __init__(self, frames: UInt8[np.ndarray, "t h w c"], rate: float | int):
        self._frames, self.trouble = frames, ""
        self.rate = fractions.Fraction(rate).limit_denominator(10_000)
        self.tick, self.rounding = 1 / self.rate, fractions.Fraction(0)
        self.begin, self.end = 0, len(frames)

    def frames_from(self, tick: int) -> Iterator["Still"]:
        for number in range(tick, self.end):
            yield Still(self._frames[number], number)


class Still:
    """One frame of an array."""

    def __init__(self, image: UInt8[np.ndarray, "h w c"], pts: int = 0):
        self._image, self.pts, self.until = image, pts, pts + 1
        self.size = (image.shape[0], image.shape[1])

    def pixels(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        image = self._image if self._image.shape[2] == 3 else np.repeat(self._image, 3, axis=2)
        if (height, width) == self.size:
            return image
        scaled = Image.fromarray(np.ascontiguousarray(image)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        return np.asarray(scaled)


def since(frames: Iterable[Any], moment: fractions.Fraction | int) -> Iterator[Any]:
    """Skip the frames before the one that is displayed at a moment, in ticks."""
    shown = None
    for frame in frames:
        if shown is not None and (frame.pts > moment or shown.pts > moment):
            yield shown
        shown = frame
    if shown is not None and (shown.pts > moment or shown.until > moment):
        yield shown


def at_moments(
    frames: Iterable[Any], start: int, step: fractions.Fraction, rounding: fractions.Fraction
) -> Iterator[Any]:
    """Yield the frames that are displayed at start, start + step, ... (ticks), until the end.

    The times of frames may be off by `rounding` ticks; a start that close to a frame is that
    frame's.
    """
    shown, count = None, 0
    for frame in frames:
        if count == 0 and abs(frame.pts - start) <= rounding:
            start = frame.pts
        while shown is not None and start + count * step < frame.pts - rounding:
            yield shown
            count += 1
        shown = frame
    while shown is not None and start + count * step < shown.until:
        yield shown
        count += 1


def _rendered(frames: Iterable[Any], render: Callable[[Any], Pixels]) -> list[Pixels]:
    """Render the frames; one that is displayed at several moments is rendered once."""
    last, pixels = None, []
    for frame in frames:
        pixels.append(pixels[-1] if frame is last else render(frame))
        last = frame
    return pixels


class _Seen:
    """An iterator of frames that remembers the end of the last one."""

    def __init__(self, frames: Iterator[Any]):
        self._frames, self.until = frames, 0

    def __iter__(self) -> Iterator[Any]:
        for frame in self._frames:
            self.until = frame.until
            yield frame
