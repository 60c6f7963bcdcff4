"""Cuts video files into short clips without re-encoding, from one keyframe to a later one."""

import io
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pipeline.data.media.container import (
    has_decoding_times_only,
    open_input,
    reason_of,
    video_stream,
)
from pipeline.data.media.damage import Damage
from pipeline.data.media.video_file import VideoFile
from pipeline.data.unreadable import Unreadable

# The first keeps times exactly, the second supports nearly every codec.
_CONTAINERS = ("mp4", "matroska")
WITHOUT_SOUND = "without its sound, which training has no use for"
_MAX_BYTES = 1 << 30  # of a clip, which is read into memory as a whole


class Piece(NamedTuple):
    """A clip: a video file's bytes, its begin and end, and its frames, height and width."""

    data: bytes
    begin: float
    end: float
    size: tuple[int, int, int]


def cut(
    path: str,
    begin: float | int,
    end: float | int,
    clip_seconds: float | int,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Piece | str]:
    """Yield clips of at least `clip_seconds` of a file's video, each decoded once.

    A clip ends before a keyframe at which a closed group of pictures begins, so that no later frame
    refers to an earlier one; without such a keyframe the clip is longer. The whole file is one clip
    if clips would not show what it shows: if no container supports the codec, as for a .gif, or
    keeps the orientation, if its packets do not have the times of their frames, as in an .avi with
    reordered frames, or if its edit list leaves frames out in the middle. For a clip that cannot be
    decoded, the reason is yielded instead. `note` is called with what the user should know of the
    file.

    Raises:
      Unreadable: the file cannot be opened, or has no video.
    """
    yielded = False
    try:
        zero, look = _first_look(path, note)
        for packets, template in _groups(path, zero, (begin, end), clip_seconds, note):
            start = float((min(packet.pts for packet in packets) - zero) * template.time_base)
            try:
                piece = _piece(packets, template, begin - start, end - start, look)
            except Unreadable as error:
                piece = f"from {max(0.0, start):.2f} s: {error}"
            except _NotCut:
                if not yielded:
                    raise
                piece = f"from {start:.2f} s: it cannot be cut here without changing it"
            if piece is not None:
                yielded = True
                yield piece
    except _NotCut:
        with open(path, "rb") as file:
            yield _checked(file.read(), begin, end, None, None)


class _NotCut(Exception):
    """A clip would not show what the file shows."""


def _first_look(path: str, note: Callable[[str], None]) -> tuple[int, Any]:
    """Return a file's zero, and how its first frame is stored, or None if it has no frame."""
    with VideoFile(path) as file:
        frame = next(file.frames_from(file.begin), None)
        if frame is not None:
            frame.pixels(*frame.size)
        for text in file.notes():
            note(text)
        if file.sounds:
            note(WITHOUT_SOUND)
        return file.begin, None if frame is None else frame.stored_as


def _groups(
    path: str,
    zero: int,
    part: tuple[float | int, float | int],
    clip_seconds: float | int,
    note: Callable[[str], None],
) -> Iterator[tuple[list[Any], Any]]:
    """Yield the packets of each clip of a part of a file, and their stream."""
    from av.error import FFmpegError

    begin, end = part
    with open_input(path) as container:
        stream = video_stream(container)
        damage = Damage(container, stream, stream.time_base, zero)
        tick = float(stream.time_base)
        if has_decoding_times_only(container) and stream.codec_context.has_b_frames:
            raise _NotCut
        packets: list[Any] = []
        # `keyframe` is where to cut, once it is known that no later frame refers across it.
        first, keyframe = 0, None
        try:
            for packet in container.demux(stream):
                damage.reach(packet)
                if has_decoding_times_only(container):
                    packet.pts = packet.dts  # FFmpeg may have added a delay that no frame has
                if packet.pts is None:
                    if packet.size and not packets:
                        raise _NotCut  # without times it cannot be cut
                    continue
                if keyframe is not None and packet.pts > keyframe:
                    begins = keyframe - zero
                    if begins * tick > begin:
                        yield packets[:-1], stream
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
            note(f"ends early: {reason_of(error)}")
        for text in damage.missing_end():
            note(text)
        if packets:
            yield packets, stream


def _piece(packets: list[Any], template: Any, begin: float, end: float, look: Any) -> Piece | None:
    """Return a clip of these packets between two seconds after the first one's time.

    Returns None if an edit list leaves out all of it. Raises Unreadable if not all of the packets
    can be decoded.
    """
    failure = None
    times = [(packet.pts, packet.duration, packet.time_base) for packet in packets]
    # Not every container has decoding times: they increase, and no frame is displayed before its
    # own.
    in_order = sorted(pts for pts, _, _ in times)
    late = max(dts - pts for dts, (pts, _, _) in zip(in_order, times))
    edited = _edited(packets)
    if edited is None:
        return None
    tick = float(template.time_base)
    begin = max(0.0, begin, (edited[0] - in_order[0]) * tick)
    end = min(end, (edited[1] - in_order[0]) * tick)
    for container in _CONTAINERS:
        for packet, dts, (pts, duration, time_base) in zip(packets, in_order, times):
            packet.time_base, packet.duration = time_base, duration
            packet.pts, packet.dts = pts - in_order[0], dts - late - in_order[0]
        data = _muxed(packets, template, container)
        if data is None:
            continue
        try:
            return _checked(data, begin, end, len(packets), look)
        except _NotCut:
            continue
        except Unreadable as error:
            failure = error
    if failure is None:
        raise _NotCut
    raise failure


def _edited(packets: list[Any]) -> tuple[int, float] | None:
    """Return from and until which tick an edit list shows these packets; None if it shows none.

    Raises:
      _NotCut: it leaves out packets between others.
    """
    shown = [packet.pts for packet in packets if not packet.is_discard]
    if not shown:
        return None
    first, last = min(shown), max(shown)
    dropped = [packet.pts for packet in packets if packet.is_discard]
    if any(first < pts <= last for pts in dropped):
        raise _NotCut
    return first, min((pts for pts in dropped if pts > last), default=math.inf)


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


def _checked(
    data: bytes,
    begin: float | int,
    end: float | int,
    packets: int | None,
    look: Any,
) -> Piece:
    """Return a clip whose frames can all be decoded, and have increasing times and this look.

    Raises:
      Unreadable: they cannot be decoded.
      _NotCut: the clip does not show what the file shows.
    """
    if len(data) > _MAX_BYTES:
        raise Unreadable(
            f"{len(data) / 2**30:.1f} GiB without a keyframe to cut at: encode it with some"
        )
    count, height, width = 0, 0, 0
    with VideoFile(data) as file:
        for frame in file.frames_from(file.begin):
            if not count and look is not None and frame.stored_as != look:
                raise _NotCut
            count += 1
            height, width = frame.size
        if not count or (packets is not None and count < packets):
            trouble = f" ({file.trouble})" if file.trouble else ""
            of = "" if packets is None else f" of {packets}"
            raise Unreadable(f"{count}{of} frames can be decoded{trouble}")
        if packets is not None and file.retimed:
            raise _NotCut
    return Piece(
        data, float(begin), math.inf if end == math.inf else float(end), (count, height, width)
    )
