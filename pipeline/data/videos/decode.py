"""Video files, read from any moment on: from the keyframe before it, a frame at a time, by their timestamps.

Frames are of the first video stream (cover pictures of audio files do not count), upright (rotation metadata applied),
uint8 RGB whatever the file's colours and bit depth. PyAV is imported when the first file is opened.
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

# The first packets say what a decoder needs; reading on for exact rates takes several times as long as opening.
_OPTIONS = {"analyzeduration": "0", "probesize": "32768"}
_LEADS = (
    0,
    2,
    10,
)  # seconds; containers seek by decoding times, and may land behind the frame that was asked for
_ANY_RATE = fractions.Fraction(25)
_ROUNDING = fractions.Fraction(
    1, 1000
)  # seconds, at most, that a coarse clock puts a frame before or after its time


class Frame:
    """A decoded frame and when it is shown: from `pts` until `until`, in ticks of its file."""

    def __init__(self, frame: Any, pts: int, until: int):
        self._frame, self.pts, self.until = frame, pts, until
        self._turns = round((frame.rotation or 0) / 90) % 4
        stored = (frame.height, frame.width)
        self.size = stored[::-1] if self._turns % 2 else stored

    def pixels(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """The whole frame, scaled to this size; shrinking averages. Raises Unreadable."""
        from av.error import FFmpegError

        options: dict[str, Any] = {"format": "rgb24", "threads": 1}
        if (height, width) != self.size:
            stored = (width, height) if self._turns % 2 else (height, width)
            options |= {"height": stored[0], "width": stored[1], "interpolation": _interpolation()}
        try:
            return np.rot90(self._frame.to_ndarray(**options), self._turns)
        except (FFmpegError, ValueError) as error:
            raise Unreadable(
                f"its frames are {self._frame.format.name}, not to be made RGB: {error}"
            ) from None


class VideoFile:
    """A file, by its path or its bytes, of which the seconds from `begin` to `end` count.

    Raises:
      Unreadable: on opening, where it is no video.

    Attributes:
      tick: seconds of a unit of time. begin, end: the first tick, and the one after the last, as the header has them.
      rate: frames a second, on average. rounding: ticks by which timestamps may be off.
      decoded: frames decoded so far. trouble: why reading ended early, or empty.
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
        """Frames from a keyframe at or before `tick` on; none where there is nothing more, as in truncated files."""
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
        """Closes the file."""
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
        """Decodes on from the keyframe before `start`, or from the first one; closes the container in the end."""
        from av.error import FFmpegError

        self._fresh = None
        try:
            stream = first_stream(container)
            stream.codec_context.thread_count = 1  # several files are read at a time
            if start is not None:
                with contextlib.suppress(
                    FFmpegError
                ):  # what cannot be searched is read from its start
                    container.seek(start, stream=stream)
            before = None
            for frame in _decoded(container, stream, wanted + self.rounding):
                self.decoded += 1
                pts = frame.pts
                if pts is None or (before is not None and pts <= before.pts):
                    pts = 0 if before is None else before.until  # a broken clock
                if pts >= self._stop:
                    return
                if frame.is_corrupt:
                    if pts < wanted:  # needs frames before the keyframe; nobody asks for it
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
    """All frames from the one that is shown at tick `wanted` on, and of those before it the ones that others need.

    Up to there packets are read ahead, for only then is it known which of them is the one.
    """
    from av.error import FFmpegError

    packets = container.demux(stream)
    ahead, broken = [], None
    try:
        for packet in packets:
            ahead.append(packet)
            if (
                packet.dts is not None and packet.dts > wanted
            ):  # frames are not shown before they are decoded
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
    """Height and width of a video's first frame, upright; of a path, remembered. Raises Unreadable."""
    return _size_of_file(data) if isinstance(data, str) else _size(data)


@functools.lru_cache(maxsize=1 << 20)
def _size_of_file(path: str) -> tuple[int, int]:
    return _size(path)


def _size(data: str | bytes) -> tuple[int, int]:
    # Whether it is to be turned is known of decoded frames alone.
    with VideoFile(data) as file:
        for frame in file.frames_from(file.begin):
            return frame.size
        raise Unreadable(
            f"no frame in it can be decoded{f' ({file.trouble})' if file.trouble else ''}"
        )


def open_container(data: str | bytes) -> Any:
    """PyAV's container of a file, by its path or its bytes. Raises Unreadable."""
    import av
    from av.error import FFmpegError

    try:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        return av.open(
            file, options=_OPTIONS, metadata_errors="ignore"
        )  # titles may be in any encoding
    except FFmpegError as error:
        # Also where memory is lacking: damaged headers ask for absurd amounts of it.
        raise Unreadable(f"not a video that can be opened: {reason_of(error)}") from None


def first_stream(container: Any) -> Any:
    """The first stream of moving pictures. Raises Unreadable, and closes the container, where there is none."""
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
    """Where the header does not say: the end of the last packet. Reads the whole file, and decodes nothing."""
    from av.error import FFmpegError

    end, start = 1, stream.start_time or 0
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                end = max(end, packet.pts - start + (packet.duration or 1))
    except FFmpegError:
        pass  # what can be read counts
    return end


@functools.cache
def _interpolation() -> Any:
    from av.video.reformatter import Interpolation

    # Bicubic widens its kernel when it shrinks, which is the antialiasing; the rest keeps rounding from darkening.
    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def reason_of(error: Exception) -> str:
    """What an error of FFmpeg says."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
