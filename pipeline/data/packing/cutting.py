"""Cuts video files into short clips without re-encoding, from one keyframe to a later one."""

import io
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.data.unreadable import Unreadable
from pipeline.data.videos.decode import VideoFile, first_stream, open_container, reason_of

# The first keeps times exactly, the second supports nearly every codec.
_CONTAINERS = ("mp4", "matroska")
_MAX_BYTES = 1 << 30  # of a clip, which is read into memory as a whole


class Piece(NamedTuple):
    """A clip: a video file's bytes, its begin and end, and its frames, height and width."""

    data: bytes
    begin: float
    end: float
    size: tuple[int, int, int]


def cut(
    path: str, begin: float | int, end: float | int, clip_seconds: float | int
) -> Iterator[Piece | str]:
    """Yield clips of at least `clip_seconds` of a file's first video stream, each decoded once.

    A clip ends before a keyframe at which a closed group of pictures begins, so that no later frame
    refers to an earlier one; without such a keyframe the clip is longer. If no container supports
    the codec, as for a .gif, the whole file is one clip. For a clip that cannot be decoded, the
    reason is yielded instead.

    Raises:
      Unreadable: the file cannot be opened, or has no video.
    """
    try:
        for packets, template, first in _groups(path, begin, end, clip_seconds):
            start = float(first * template.time_base)
            try:
                yield _piece(packets, template, first, max(0.0, begin - start), end - start)
            except Unreadable as error:
                yield f"from {start:.2f} s: {error}"
    except _NoContainer:
        with open(path, "rb") as file:
            yield _checked(file.read(), begin, end, None)


class _NoContainer(Exception):
    """None of the containers supports a codec."""


def _groups(
    path: str, begin: float | int, end: float | int, clip_seconds: float | int
) -> Iterator[tuple[list[Any], Any, int]]:
    """Yield the packets of each clip, their stream, and the tick of their first frame in it."""
    from av.error import FFmpegError

    with open_container(path) as container:
        stream = first_stream(container)
        tick, zero = float(stream.time_base), stream.start_time or 0
        packets: list[Any] = []
        # `keyframe` is where to cut, once it is known that no later frame refers across it.
        first, keyframe = 0, None
        try:
            for packet in container.demux(stream):
                if packet.pts is None:
                    if packet.size and not packets:
                        raise _NoContainer  # without times it cannot be cut
                    continue
                if keyframe is not None and packet.pts > keyframe:
                    begins = keyframe - zero
                    if begins * tick > begin:
                        yield packets[:-1], stream, first
                    packets, first = packets[-1:], begins
                    if begins * tick >= end:
                        return
                keyframe = None
                packets.append(packet)
                now = (packet.pts - zero) * tick
                long_enough = clip_seconds and now - first * tick >= clip_seconds - 1e-3
                at_an_end = now <= begin or now >= end
                if packet.is_keyframe and len(packets) > 1 and (long_enough or at_an_end):
                    keyframe = packet.pts
        except FFmpegError as error:
            if not packets:
                raise Unreadable(reason_of(error)) from None
        if packets:
            yield packets, stream, first


def _piece(packets: list[Any], template: Any, first: int, begin: float, end: float) -> Piece:
    """Return a clip of these packets. Raises Unreadable if not all of them can be decoded."""
    failure = None
    times = [(packet.pts, packet.duration, packet.time_base) for packet in packets]
    # Not every container has decoding times: they increase, and no frame is displayed before its
    # own.
    in_order = sorted(pts for pts, _, _ in times)
    late = max(dts - pts for dts, (pts, _, _) in zip(in_order, times))
    for container in _CONTAINERS:
        for packet, dts, (pts, duration, time_base) in zip(packets, in_order, times):
            packet.time_base, packet.duration = time_base, duration
            packet.pts, packet.dts = pts - in_order[0], dts - late - in_order[0]
        data = _muxed(packets, template, container)
        if data is None:
            continue
        try:
            return _checked(data, begin, end, len(packets))
        except Unreadable as error:
            failure = error
    if failure is None:
        raise _NoContainer
    raise failure


def _muxed(packets: list[Any], template: Any, container: str) -> bytes | None:
    import av
    from av.error import FFmpegError

    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream_from_template(template)
            for packet in packets:
                packet.stream = stream
                output.mux(packet)
    except (FFmpegError, ValueError):
        return None
    return file.getvalue()


def _checked(data: bytes, begin: float | int, end: float | int, packets: int | None) -> Piece:
    if len(data) > _MAX_BYTES:
        raise Unreadable(
            f"{len(data) / 2**30:.1f} GiB without a keyframe to cut at: encode it with some"
        )
    count, height, width = 0, 0, 0
    with VideoFile(data) as file:
        for frame in file.frames_from(file.begin):
            count += 1
            height, width = frame.size
        if not count or (packets is not None and count < packets):
            trouble = f" ({file.trouble})" if file.trouble else ""
            of = "" if packets is None else f" of {packets}"
            raise Unreadable(f"{count}{of} frames can be decoded{trouble}")
    return Piece(
        data, float(begin), math.inf if end == math.inf else float(end), (count, height, width)
    )
