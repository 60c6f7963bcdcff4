"""Decodes video files from any time on, frame by frame and by timestamps.

This is the only reader of videos: training, packing, `strata data examples` and the codecs use it.
Decoding begins at the keyframe before the time asked for. Frames come from the first video stream
(covers do not count), upright, as uint8 RGB for any colour format and bit depth.
"""

import contextlib
import fractions
import functools
import math
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pipeline.data.media import colour, orientation
from pipeline.data.media.container import (
    has_decoding_times_only,
    open_input,
    reason_of,
    video_stream,
    video_streams,
)
from pipeline.data.media.damage import Damage
from pipeline.data.media.decoding import DecodingClock, all_decoded, decoded_from, decoder_delay
from pipeline.data.media.lengths import container_length, first_time, packets_length
from pipeline.data.media.orientation import Orientation
from pipeline.data.unreadable import Unreadable

# Seconds to seek ahead of a frame: containers seek by decoding times, and may land after the frame.
_LEADS = (0, 2, 10)
_TINY = 1e-4  # ticks
_ANY_RATE = fractions.Fraction(25)
# Maximal error of a frame's time in seconds, from the coarse clock of some containers.
_ROUNDING = fractions.Fraction(1, 1000)
_FULL_RANGE = 2  # H.273
_NO_TIMESTAMPS = 0x80  # FFmpeg's flag of a format, such as raw H.264


class Frame:
    """A decoded frame that is displayed from `pts` until `until`, in ticks of its file.

    `orientation` is how the stored frame becomes upright.
    """

    def __init__(
        self,
        frame: Any,
        pts: int,
        until: int,
        turned: Orientation,
        threads: int,
        remark: Callable[[str], None],
    ):
        self._frame, self.pts, self.until, self.orientation = frame, pts, until, turned
        self._threads, self._remark = threads, remark

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, upright."""
        return self.orientation.size(self._frame.height, self._frame.width)

    @property
    def stored_as(self) -> tuple[Any, ...]:
        """Everything that decides how the stored pixels are shown."""
        frame = self._frame
        full_range = frame.color_range == _FULL_RANGE
        return self.orientation, frame.format.name, frame.colorspace, full_range

    def pixels(self, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return the whole frame, scaled to this size; shrinking averages. Raises Unreadable."""
        from av.error import FFmpegError

        stored = self.orientation.size(height, width)
        try:
            pixels = colour.to_rgb(self._frame, *stored, threads=self._threads, remark=self._remark)
        except (FFmpegError, ValueError) as error:
            raise Unreadable(
                f"its frames are {self._frame.format.name}, "
                f"which cannot be converted to RGB: {error}"
            ) from None
        return self.orientation.apply(pixels)


class VideoFile:
    """A file, given by its path or its bytes, between the seconds `begin` and `end`.

    By default it is made for short parts of many files: reading stops at the first damaged frame,
    and decoding takes one thread. `thorough` is for a whole file: the header is read fully,
    decoding takes all cores, and damaged frames are read and counted.

    Raises:
      Unreadable: the file is not a video.

    Attributes:
      tick: the unit of time, in seconds.
      begin, end: the first tick, and the one after the last, according to the header.
      stream_end: the tick at which the video stream ends according to the header, or 0.
      num_frames: number of frames according to the header, or 0.
      rate: average number of frames per second.
      rounding: ticks by which timestamps may be off.
      pixel_aspect: width of a stored pixel divided by its height.
      sounds, subtitles: numbers of such streams.
      decoded: number of frames decoded so far.
      retimed: number of frames whose timestamps were not after those before.
      trouble: the reason why reading ended early, or empty.
      damaged: whether frames are damaged or missing, after the last frame of a thorough reading.
      remarks: notes on the file and its conversion, as far as it was read.
    """

    def __init__(
        self,
        data: str | bytes,
        begin: float | int = 0.0,
        end: float | int = math.inf,
        *,
        thorough: bool = False,
    ):
        self._data, self._thorough, self.trouble = data, thorough, ""
        self.decoded, self.retimed = 0, 0
        self.damaged = False
        self.remarks: list[str] = []
        self._fresh: Any = open_input(data, thorough=thorough)
        stream = video_stream(self._fresh)
        self.rate: fractions.Fraction = stream.average_rate or stream.guessed_rate or _ANY_RATE
        self.tick: fractions.Fraction = stream.time_base or 1 / self.rate
        self.rounding = min(fractions.Fraction(1), _ROUNDING / self.tick)
        self._timed = not self._fresh.format.flags & _NO_TIMESTAMPS
        self._note_streams(stream)
        self.num_frames, stream_length = stream.frames, stream.duration
        length = stream_length or container_length(self._fresh, self.tick)
        start = stream.start_time
        if start is None:
            start = first_time(self._fresh, stream)
            self._reopen()
            stream = video_stream(self._fresh)
        if length is None:
            length = packets_length(self._fresh, stream, start)
            self.close()
        # A frame at `end` is left out, whatever the error of a float.
        self._stop = math.inf if end == math.inf else start + math.ceil(end / self.tick - _TINY)
        self._first, self.begin = start, start + round(begin / self.tick)
        self.stream_end = start + stream_length if stream_length else 0
        self.end = int(min(start + length, self._stop))

    def frames_from(self, tick: int) -> Iterator[Frame]:
        """Yield frames from a keyframe at or before `tick` on; none after a truncated file ends."""
        for lead in (*_LEADS, math.inf) if self._timed else [math.inf]:
            start = (
                None if tick - lead / self.tick <= self._first else tick - round(lead / self.tick)
            )
            frames = self._frames(self._opened(), start, tick)
            first = next(frames, None)
            if first is None:
                if self.trouble or start is None:
                    return
                continue  # some containers can be searched badly near their end
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

    def notes(self) -> list[str]:
        """Return the remarks, and what the pixels of its frames do not tell."""
        found = list(self.remarks)
        if self.pixel_aspect != 1:
            found.append(f"pixels {self.pixel_aspect} times as wide as high are taken as square")
        return found

    def remark(self, text: str) -> None:
        """Add a remark, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def _note_streams(self, stream: Any) -> None:
        container = self._fresh
        self.pixel_aspect = fractions.Fraction(stream.sample_aspect_ratio or 1)
        self.sounds, self.subtitles = len(container.streams.audio), len(container.streams.subtitles)
        videos = len(video_streams(container))
        if videos > 1:
            self.remark(f"the first of {videos} video streams")
        # An element of the container, or a tag in older files.
        if "1" in (stream.metadata.get("alpha_mode"), stream.metadata.get("ALPHA_MODE")):
            self.remark("its transparency is not read: the decoder of VP8 and VP9 leaves it out")

    def _opened(self) -> Any:
        return self._fresh or open_input(self._data, thorough=self._thorough)

    def _reopen(self) -> None:
        self.close()
        self._fresh = self._opened()

    def _frames(
        self, container: Any, start: int | None, wanted: int
    ) -> Generator[Frame, None, None]:
        """Decode from the keyframe before `start`, or the first one, and close the container."""
        from av.error import FFmpegError

        self._fresh = None
        try:
            stream = video_stream(container)
            if self._thorough:
                stream.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1  # several files are read at a time
            if start is not None:
                # A file that cannot be searched is read from its start.
                with contextlib.suppress(FFmpegError):
                    container.seek(start, stream=stream)
            damage = Damage(container, stream, self.tick, self._first) if self._thorough else None
            try:
                yield from self._shown(container, stream, wanted, damage, start is not None)
            except FFmpegError as error:
                self.trouble = reason_of(error)
            if damage is not None:
                if not self.decoded:
                    self.trouble = self.trouble or damage.reason
                found = damage.remarks()
                self.damaged = bool(found or self.trouble)
                self.remarks += found
        finally:
            container.close()

    def _shown(
        self, container: Any, stream: Any, wanted: int, damage: Damage | None, sought: bool
    ) -> Iterator[Frame]:
        """Yield decoded frames with the times from and until they are shown.

        If the file was `sought`, there are none without a time to count from.
        """
        packets = container.demux(stream)
        decoding_clock = None
        if has_decoding_times_only(container):
            decoding_clock = DecodingClock(self._decoder_delay)
        # decoded_from compares presentation times, which are wrong with a decoding clock.
        if damage is not None or decoding_clock is not None:
            frames = all_decoded(packets, damage)
        else:
            frames = decoded_from(packets, stream, wanted + self.rounding)
        before, step = None, round(1 / (self.rate * self.tick)) or 1
        turned, threads = None, 0 if self._thorough else 1
        for frame in frames:
            self.decoded += 1
            pts = frame.pts if decoding_clock is None else decoding_clock.time_of(frame)
            if before is None:
                if pts is None and sought:
                    return
                pts = self._first if pts is None else pts
            elif pts is None or pts <= before.pts:
                self.retimed += pts is not None
                pts = before.until
            if pts >= self._stop:
                return
            if damage is None and frame.is_corrupt:
                if pts < wanted:  # it needs frames before the keyframe, and is not used
                    continue
                self.trouble = f"damaged at {float((pts - self._first) * self.tick):.2f} s"
                return
            until = pts + (frame.duration or step)
            if damage is not None:
                damage.show(frame.pts, pts, until, frame.is_corrupt)
            # Reading a matrix takes longer than all else here, and changes come with keyframes.
            if turned is None or frame.key_frame:
                turned = self._orientation_of(frame)
            before = Frame(frame, pts, until, turned, threads, self.remark)
            yield before

    @functools.cached_property
    def _decoder_delay(self) -> int | None:
        with open_input(self._data) as container:
            stream = video_stream(container)
            stream.codec_context.thread_count = 1
            return decoder_delay(container, stream)

    def _orientation_of(self, frame: Any) -> Orientation:
        found = orientation.of_frame(frame)
        if found is None:
            self.remark(orientation.IGNORED)
        return found or orientation.UPRIGHT


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


def ends_early(data: str | bytes) -> list[str]:
    """Return what a truncated file lacks; it reads the whole file and decodes nothing."""
    from av.error import FFmpegError

    with VideoFile(data) as file, open_input(data) as container:
        stream = video_stream(container)
        damage = Damage(container, stream, file.tick, file.begin)
        with contextlib.suppress(FFmpegError):  # which has been reported when it was decoded
            for packet in container.demux(stream):
                damage.reach(packet)
        return damage.missing_end()
