"""Read and write video files one frame at a time."""

import contextlib
import dataclasses
import fractions
import pathlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.error import ArgumentError, FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from jaxtyping import UInt8

from pipeline.core.errors import ConfigError, DataError

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".gif", ".m4v")
# Nearly lossless, so that a reconstruction shows the codec's errors and not x264's.
_QUALITY = {"crf": "12", "preset": "fast"}
_QUARTER_TURNS = 4
_UNSPECIFIED = 2  # H.264's code of a colour matrix
_LARGEST_SD = (1279, 576)  # width, height: players assume BT.709 for larger frames without a tag
_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


@dataclasses.dataclass(frozen=True)
class Timing:
    """The clock of a video: frame i is shown at pts[i] * time_base seconds."""

    time_base: fractions.Fraction
    rate: fractions.Fraction


class VideoReader:
    """A reader of a file's first video stream: upright uint8 RGB frames in presentation order.

    Colours follow the stream's tags; without tags, as in players, BT.709 for HD and BT.601 for SD.

    Attributes:
      pts: presentation times of the frames read so far, in units of `timing.time_base`.
      remarks: notes on the file for the user.

    Raises:
      DataError: on opening, if the file is not a video; while reading, if no frame can be decoded.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self.pts: list[int] = []
        self.remarks: list[str] = []
        try:
            self._container = av.open(str(path))
        except (FFmpegError, OSError) as error:
            raise DataError(f"{path} is not a readable video: {_reason(error)}") from None
        if not self._container.streams.video:
            self._container.close()
            raise DataError(f"{path} has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate or fractions.Fraction(25)
        self.timing = Timing(self._stream.time_base or 1 / rate, rate)
        if len(self._container.streams.video) > 1:
            self.remarks.append(f"the first of {len(self._container.streams.video)} video streams")

    @property
    def expected_frames(self) -> int | None:
        """Number of frames by the file's header, which may be wrong; None if it does not say."""
        if self._stream.frames:
            return self._stream.frames
        duration = self._container.duration
        return round(duration / av.time_base * self.timing.rate) if duration else None

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        try:
            for frame in self._container.decode(self._stream):
                step = 1 / (self.timing.rate * self.timing.time_base)
                at = frame.pts if frame.pts is not None else round(len(self.pts) * step)
                if self.pts and at <= self.pts[-1]:
                    at = self.pts[-1] + 1  # times must increase to be written
                self.pts.append(at)
                if len(self.pts) == 1 and frame.color_trc in _HDR:
                    self.remarks.append("high dynamic range, read as if it were BT.709")
                turns = round((frame.rotation or 0) / 90) % _QUARTER_TURNS
                yield np.rot90(_rgb(frame), turns)
        except FFmpegError as error:
            if not self.pts:
                raise DataError(f"{self.path}: no frame can be decoded: {_reason(error)}") from None
            self.remarks.append(f"ends after {len(self.pts)} frames: {_reason(error)}")
        if not self.pts:
            raise DataError(f"{self.path} has no frames")

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """A writer of an mp4 file (H.264) of frames with their times, and the sound of another file.

    The file gets its name when it is complete. It begins at 0 with the first frame, or with the
    sound if that is earlier. Sound is copied unchanged, in sync with the frames. Colours are BT.709
    with limited range, and tagged so. Odd heights and widths need 4:4:4 colour, which some players
    lack.

    Raises:
      ConfigError: the file cannot be written.
    """

    def __init__(self, path: pathlib.Path, timing: Timing, *, sound_of: pathlib.Path | None = None):
        self.path, self._timing = path, timing
        self._partial = path.with_name(path.name + ".partial")
        self.remarks: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._partial), "w", format="mp4")
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {path}: {_reason(error)}") from None
        self._stream: Any = None
        self._sound = (
            _Sound(sound_of, self._container, self.remarks) if sound_of is not None else None
        )
        self._origin = 0

    def write(self, frame: UInt8[np.ndarray, "h w 3"], pts: int) -> None:
        """Append a frame, shown at `pts`."""
        clock = self._timing.time_base
        if self._stream is None:
            self._stream = self._opened(frame)
            begins = pts * clock if self._sound is None else self._sound.start(pts * clock)
            self._origin = round(begins / clock)
        if self._sound is not None:
            self._sound.copy_until(pts * clock)
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        shown = shown.reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        shown.pts, shown.time_base = pts - self._origin, clock
        self._mux(shown)

    def close(self) -> None:
        """Finish the file, and give it its name."""
        if self._stream is not None:
            self._mux(None)
        if self._sound is not None:
            self._sound.copy_until(None)
        self._container.close()
        if self._stream is not None:
            self._partial.replace(self.path)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            with contextlib.suppress(Exception):
                self._container.close()
            self._partial.unlink(missing_ok=True)

    def _opened(self, frame: np.ndarray) -> Any:
        height, width = frame.shape[:2]
        stream: Any = self._container.add_stream(
            "libx264", rate=self._timing.rate, options=_QUALITY
        )
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._timing.time_base
        context = stream.codec_context
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {self.path}: {_reason(error)}") from None


class _Sound:
    """The first audio stream of a file, copied packet by packet; failures go to `remarks`."""

    def __init__(self, path: pathlib.Path, target: Any, remarks: list[str]):
        self._source = av.open(str(path))
        self._target, self._stream, self._waiting, self._remarks = target, None, None, remarks
        self._packets: Iterator[Any] = iter(())
        self._origin, self._lost = fractions.Fraction(0), 0

    def start(self, first: fractions.Fraction) -> fractions.Fraction:
        """Add the stream to frames from `first` on; return the second at which the file begins."""
        if not self._source.streams.audio:
            return first
        audio: Any = self._source.streams.audio[0]
        try:
            self._stream = self._target.add_stream_from_template(audio)
        except (FFmpegError, ValueError):
            name = audio.codec_context.name
            self._remarks.append(f"without its sound: mp4 does not accept {name}")
            return first
        self._packets = (packet for packet in self._source.demux(audio) if packet.dts is not None)
        # Packets before 0 prime the decoder and are not heard; mp4 has room for them.
        self._origin = min(
            first, max((audio.start_time or 0) * audio.time_base, fractions.Fraction(0))
        )
        return self._origin

    def copy_until(self, seconds: fractions.Fraction | None) -> None:
        """Copy packets up to this time of the source, or all and close the file if it is None."""
        while (packet := self._waiting or self._next()) is not None:
            self._waiting = packet
            if seconds is not None and packet.dts * packet.time_base > seconds:
                return
            self._waiting = None
            self._copy(packet)
        if seconds is None:
            self._source.close()
            if self._lost:
                self._remarks.append(
                    f"without {self._lost} packets of its sound, whose times mp4 does not accept"
                )

    def _next(self) -> Any:
        try:
            return next(self._packets, None)
        except FFmpegError:  # keep the sound of a truncated file up to here
            return None

    def _copy(self, packet: Any) -> None:
        packet.stream = self._stream
        ticks = round(self._origin / packet.time_base)
        packet.dts -= ticks
        packet.pts = None if packet.pts is None else packet.pts - ticks
        try:
            self._target.mux(packet)
        except ArgumentError:
            self._lost += 1
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {self._target.name}: {_reason(error)}") from None


def _rgb(frame: Any) -> UInt8[np.ndarray, "h w 3"]:
    tagged = frame.colorspace != _UNSPECIFIED or frame.format.is_rgb
    large = frame.width > _LARGEST_SD[0] or frame.height > _LARGEST_SD[1]
    matrix = Colorspace.ITU709 if large and not tagged else None
    return frame.to_ndarray(format="rgb24", src_colorspace=matrix)


def is_video(name: str) -> bool:
    """Return whether a file name has a video's suffix."""
    return name.lower().endswith(SUFFIXES)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
