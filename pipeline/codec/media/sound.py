"""Copies the sound of one file into another, packet by packet."""

import fractions
import pathlib
from collections.abc import Iterator
from typing import Any

from av.error import ArgumentError, FFmpegError

from pipeline.core.errors import ConfigError
from pipeline.data.media.container import open_input, reason_of


class Sound:
    """All audio streams of a file, copied to a container; what it cannot take is in `remarks`."""

    def __init__(self, path: pathlib.Path, target: Any, remarks: list[str]):
        self._source = open_input(path, thorough=True)
        self._target, self._remarks = target, remarks
        self._streams: dict[int, Any] = {}  # by the index in the source
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        self._origin, self._lost = fractions.Fraction(0), 0

    def start(self, first: fractions.Fraction) -> fractions.Fraction:
        """Add the streams to frames from `first` on; return the second at which the file begins."""
        tracks = list(self._source.streams.audio)
        taken = [track for number, track in enumerate(tracks, 1) if self._add(track, number)]
        subtitles = len(self._source.streams.subtitles)
        if subtitles:
            self._remarks.append(f"without its {subtitles} tracks of subtitles")
        if not taken:
            return first
        if len(taken) > 1:
            self._remarks.append(f"with {len(taken)} tracks of sound, as the original")
        self._packets = (packet for packet in self._source.demux(taken) if packet.dts is not None)
        # Packets before 0 prime the decoder and are not heard; mp4 has room for them.
        begins = min((track.start_time or 0) * track.time_base for track in taken)
        self._origin = min(first, max(begins, fractions.Fraction(0)))
        return self._origin

    def _add(self, track: Any, number: int) -> bool:
        """Add a stream like `track`, the `number`-th one; return whether mp4 takes its codec."""
        try:
            added = self._target.add_stream_from_template(track)
        except (FFmpegError, ValueError, AttributeError):
            several = len(self._source.streams.audio) > 1
            name = track.codec_context.name if track.codec_context is not None else "its codec"
            which = f"track {number} of its sound" if several else "its sound"
            self._remarks.append(f"without {which}: mp4 does not accept {name}")
            return False
        if track.language:
            added.metadata["language"] = track.language
        self._streams[track.index] = added
        return True

    def copy_until(self, seconds: fractions.Fraction | None) -> None:
        """Copy packets up to this time of the source, or all and close the file if it is None."""
        while True:
            packet = self._next() if self._waiting is None else self._waiting
            if packet is None:
                break
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
        packet.stream = self._streams[packet.stream_index]
        ticks = round(self._origin / packet.time_base)
        packet.dts -= ticks
        packet.pts = None if packet.pts is None else packet.pts - ticks
        try:
            self._target.mux(packet)
        except ArgumentError:
            self._lost += 1
        except (FFmpegError, OSError) as error:
            raise ConfigError(f"--out {self._target.name}: {reason_of(error)}") from None
