"""Read and write whole video files, one frame at a time."""

import contextlib
import dataclasses
import fractions
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from jaxtyping import UInt8

from pipeline.codec.media.sound import Sound
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.media.container import open_output, reason_of
from pipeline.data.media.video_file import VideoFile
from pipeline.data.unreadable import Unreadable

# Nearly lossless, so that a reconstruction shows the codec's errors and not x264's.
_QUALITY = {"crf": "12", "preset": "fast"}


@dataclasses.dataclass(frozen=True)
class Timing:
    """The clock of a video: frame i is shown at pts[i] * time_base seconds."""

    time_base: fractions.Fraction
    rate: fractions.Fraction


class VideoReader:
    """A reader of a file's video: upright uint8 RGB frames in presentation order.

    Damaged frames are read like others, and counted in the remarks.

    Attributes:
      pts: presentation times of the frames read so far, in units of `timing.time_base`.
      end: the time at which the last frame ends, after the others were read.
      pixel_aspect: width of an upright pixel divided by its height.
      sounds, subtitles: numbers of such streams.
      remarks: notes on the file for the user, complete after the last frame.

    Raises:
      DataError: on opening, if the file is not a video or no frame can be decoded.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self.pts: list[int] = []
        self.end = 0
        try:
            self._file = VideoFile(str(path), thorough=True)
            self._frames = self._file.frames_from(self._file.begin)
            first = next(self._frames, None)
        except Unreadable as error:
            raise DataError(f"{path}: {error}") from None
        if first is None:
            trouble = f": {self._file.trouble}" if self._file.trouble else ""
            raise DataError(f"{path}: no frame in it can be decoded{trouble}")
        self._frames = itertools.chain([first], self._frames)
        self.timing = Timing(self._file.tick, self._file.rate)
        stored = self._file.pixel_aspect
        self.pixel_aspect = 1 / stored if first.orientation.transposed else stored
        self.sounds, self.subtitles = self._file.sounds, self._file.subtitles

    @property
    def expected_frames(self) -> int | None:
        """Number of frames by the file's header, which may be wrong; None if it does not say."""
        seconds = (self._file.end - self._file.begin) * self.timing.time_base
        return self._file.num_frames or round(seconds * self.timing.rate) or None

    @property
    def remarks(self) -> list[str]:
        """Notes on the file, as far as it was read."""
        trouble = self._file.trouble
        ends = [f"ends after {len(self.pts)} frames: {trouble}"] if trouble else []
        return [*self._file.remarks, *ends]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for frame in self._frames:
            self.pts.append(frame.pts)
            self.end = frame.until
            try:
                yield frame.pixels(*frame.size)
            except Unreadable as error:
                raise DataError(f"{self.path}: {error}") from None
        # The header knows the end of a last frame that is decoded before its neighbours, which no
        # frame's own duration has.
        if not self._file.damaged:
            self.end = max(self.end, self._file.stream_end)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoWriter:
    """A writer of an mp4 file (H.264) of frames with their times, and the sound of another file.

    The file gets its name when it is complete. It begins at 0 with the first frame, or with the
    sound if that is earlier. Every track of sound is copied unchanged, in sync with the frames.
    Colours are BT.709 with limited range, and tagged so. Odd heights and widths need 4:4:4 colour,
    which some players lack.

    Attributes:
      end: the time at which the last frame ends, if it is not shown for 1 / rate seconds.
      remarks: notes on what mp4 cannot hold.

    Raises:
      ConfigError: the file cannot be written.
    """

    def __init__(
        self,
        path: pathlib.Path,
        timing: Timing,
        *,
        pixel_aspect: fractions.Fraction | int = 1,
        sound_of: pathlib.Path | None = None,
    ):
        self.path, self._timing, self._pixel_aspect = path, timing, fractions.Fraction(pixel_aspect)
        self._partial = path.with_name(path.name + ".partial")
        self.remarks: list[str] = []
        self.end: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = open_output(self._partial, format="mp4")
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {path}: {reason_of(error)}") from None
        self._stream: Any = None
        self._sound = (
            Sound(sound_of, self._container, self.remarks) if sound_of is not None else None
        )
        self._origin, self._last = 0, 0
        self._held: Any = None  # the newest packet, which may turn out to be the last one

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
        self._last = pts - self._origin
        shown.pts, shown.time_base = self._last, clock
        self._encode(shown)

    def close(self) -> None:
        """Finish the file, and give it its name."""
        if self._stream is not None:
            self._encode(None)
            self._mux_last()
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
        if self._pixel_aspect != 1:
            context.sample_aspect_ratio = self._pixel_aspect
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        return stream

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                if self._held is not None:
                    self._container.mux(self._held)
                self._held = packet
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {self.path}: {reason_of(error)}") from None

    def _mux_last(self) -> None:
        """Write the last packet, to the end of the last frame, which may be in another packet."""
        packet, self._held = self._held, None
        if packet is None:
            return
        if self.end is not None and self.end - self._origin > self._last:
            packet.duration = self.end - self._origin - packet.pts
        try:
            self._container.mux(packet)
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {self.path}: {reason_of(error)}") from None
