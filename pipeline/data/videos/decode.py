"""Decodes video files from any time on, frame by frame and by timestamps.

Decoding begins at the keyframe before that time. Frames come from the first video stream (cover
pictures of audio files do not count), upright (rotation metadata is applied), as uint8 RGB for any
colour format and bit depth. PyAV is imported when the first file is opened.
"""

import contextlib
import fractions
import functools
import io
import itertools
import math
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.data.unreadable import Unreadable

# The first packets have what a decoder needs; reading on for exact rates takes several times
# longer.
_OPTIONS = {"analyzeduration": "0", "probesize": "32768"}
# Seconds to seek ahead of a frame: containers seek by decoding times, and may land after the frame.
_LEADS = (0, 2, 10)
_ANY_RATE = fractions.Fraction(25)
# Maximal error of a frame's time in seconds, from the coarse clock of some containers.
_ROUNDING = fractions.Fraction(1, 1000)


class Frame:
    """A decoded frame that is displayed from `pts` until `until`, in ticks of its file."""

    def __init__(self, frame: Any, pts: int, until: int):
        self._frame, self.pts, self.until = frame, pts, until
        self._turns = round((frame.rotation or 0) / 90) % 4
        stored = (frame.height, frame.width)
        self.size = stored[::-1] if self._turns % 2 else stored

    def pixels(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return the whole frame, scaled to this size; shrinking averages. Raises Unreadable."""
        from av.error import FFmpegError

        options: dict[str, Any] = {"format": "rgb24", "threads": 1}
        if (height, width) != self.size:
            stored = (width, height) if self._turns % 2 else (height, width)
            options |= {"height": stored[0], "width": stored[1], "interpolation": _interpolation()}
        try:
            return np.rot90(self._frame.to_ndarray(**options), self._turns)
        except (FFmpegError, ValueError) as error:
            raise Unreadable(
                f"its frames are {self._frame.format.name}, "
                f"which cannot be converted to RGB: {error}"
            ) from None


class VideoFile:
    """A file, given by its path or its bytes, between the seconds `begin` and `end`.

    Raises:
      Unreadable: the file is not a video.

    Attributes:
      tick: the unit of time, in seconds.
      begin, end: the first tick, and the one after the last, according to the header.
      rate: average number of frames per second.
      rounding: ticks by which timestamps may be off.
      decoded: number of frames decoded so far.
      trouble: the reason why reading ended early, or empty.
    """

    def __init__(self, data: str | bytes, begin: float | int = 0.0, end: float | int = math.inf):
        self._data, self.decoded, self.trouble = data, 0, ""
        self._fresh: Any = open_container(self._data)
        stream = first_stream(self._fresh)
        self.rate: fractions.Fraction = stream.average_rate or stream.guessed_rate or _ANY_RATE
        self.tick: fractions.Fraction = stream.time_base or 1 / self.rate
        self.rounding = min(fractions.Fraction(1), _ROUNDING / self.tick)
        start = stream.start_time or 0
        length = _header_length(self._fresh, stream, self.tick)
        if length is None:
            length = _packets_length(self._fresh, stream)
            self.close()
        self._stop = math.inf if end == math.inf else start + end / self.tick
        self._first, self.begin = start, start + round(begin / self.tick)
        self.end = int(min(start + length, self._stop))

    def frames_from(self, tick: int) -> Iterator[Frame]:
        """Yield frames from a keyframe at or before `tick` on; none after a truncated file ends."""
        for lead in (*_LEADS, math.inf):
            start = (
                None if tick - lead / self.tick <= self._first else tick - round(lead / self.tick)
            )
            frames = self._frames(self._fresh or open_container(self._data), start, tick)
            first = next(frames, None)
            if first is None:
                return
            if first.pts <= tick + self.rounding or start is None:
                yield first
                yield from frames
                return
            frames.close()

    def close(self) -> None:
        """Close the file."""
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frames(
        self, container: Any, start: int | None, wanted: int
    ) -> Generator[Frame, None, None]:
        """Decode from the keyframe before `start`, or the first one, and close the container."""
        from av.error import FFmpegError

        self._fresh = None
        try:
            stream = first_stream(container)
            stream.codec_context.thread_count = 1  # several files are read at a time
            if start is not None:
                # A file that cannot be searched is read from its start.
                with contextlib.suppress(FFmpegError):
                    container.seek(start, stream=stream)
            before = None
            for frame in _decoded(container, stream, wanted + self.rounding):
                self.decoded += 1
                pts = frame.pts
                if pts is None or (before is not None and pts <= before.pts):
                    pts = 0 if before is None else before.until  # the timestamps are broken
                if pts >= self._stop:
                    return
                if frame.is_corrupt:
                    if pts < wanted:  # it needs frames before the keyframe, and is not used
                        continue
                    self.trouble = f"damaged at {float(pts * self.tick):.2f} s"
                    return
                before = Frame(
                    frame, pts, pts + (frame.duration or round(1 / (self.rate * self.tick)) or 1)
                )
                yield before
        except FFmpegError as error:
            self.trouble = reason_of(error)
        finally:
            container.close()


def _decoded(container: Any, stream: Any, wanted: Any) -> Iterator[Any]:
    """Yield all frames from the one displayed at tick `wanted` on, and earlier ones they need.

    Packets up to that frame are read ahead, because only then it is known which of them it is.
    """
    from av.error import FFmpegError

    packets = container.demux(stream)
    ahead, broken = [], None
    try:
        for packet in packets:
            ahead.append(packet)
            # Frames are not displayed before they are decoded.
            if packet.dts is not None and packet.dts > wanted:
                break
    except FFmpegError as error:
        broken = error
    shown = max(
        (packet.pts for packet in ahead if packet.pts is not None and packet.pts <= wanted),
        default=None,
    )
    for packet in itertools.chain(ahead, packets):
        early = shown is not None and packet.pts is not None and packet.pts < shown
        stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
        yield from packet.decode()
    if broken is not None:
        raise broken


def size_of(data: str | bytes) -> tuple[int, int]:
    """Return height and width of a video's first frame, upright; cached for a path.

    Raises:
      Unreadable: there is no frame that can be decoded.
    """
    return _size_of_file(data) if isinstance(data, str) else _size(data)


@functools.lru_cache(maxsize=1 << 20)
def _size_of_file(path: str) -> tuple[int, int]:
    return _size(path)


def _size(data: str | bytes) -> tuple[int, int]:
    # Only a decoded frame has the rotation.
    with VideoFile(data) as file:
        for frame in file.frames_from(file.begin):
            return frame.size
        raise Unreadable(
            f"no frame in it can be decoded{f' ({file.trouble})' if file.trouble else ''}"
        )


def open_container(data: str | bytes) -> Any:
    """Open PyAV's container of a file, by its path or its bytes. Raises Unreadable."""
    import av
    from av.error import FFmpegError

    try:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        # Titles may have any encoding, so errors in metadata are ignored.
        return av.open(file, options=_OPTIONS, metadata_errors="ignore")
    except FFmpegError as error:
        # Also when memory runs out: damaged headers request absurd amounts of it.
        raise Unreadable(f"not a video that can be opened: {reason_of(error)}") from None


def first_stream(container: Any) -> Any:
    """Return the first stream of moving pictures.

    Raises:
      Unreadable: there is none; the container is closed.
    """
    for stream in container.streams.video:
        if "attached_pic" in str(stream.disposition):
            continue
        if stream.codec_context is None:
            container.close()
            raise Unreadable("it is coded in a way that PyAV has no decoder for")
        return stream
    sound = ", only sound" if container.streams.audio else ""
    container.close()
    raise Unreadable(f"it has no video in it{sound}")


def _header_length(container: Any, stream: Any, tick: fractions.Fraction) -> int | None:
    import av

    if stream.duration:
        return stream.duration
    if container.duration:
        return int(fractions.Fraction(container.duration, av.time_base) / tick)
    return None


def _packets_length(container: Any, stream: Any) -> int:
    """Return the end of the last packet, for a header without a length.

    It reads the whole file and decodes nothing.
    """
    from av.error import FFmpegError

    end, start = 1, stream.start_time or 0
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                end = max(end, packet.pts - start + (packet.duration or 1))
    except FFmpegError:
        pass  # the packets before the damage count
    return end


@functools.cache
def _interpolation() -> Any:
    from av.video.reformatter import Interpolation

    # Bicubic widens its kernel when it shrinks, which prevents aliasing; the other flags keep
    # rounding from darkening the image.
    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def reason_of(error: Exception) -> str:
    """Return the message of an error of FFmpeg."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
