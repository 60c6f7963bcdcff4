"""Finds where a video begins and how long it is, where the header of its stream does not say so."""

import contextlib
import fractions
import itertools
from typing import Any

_FIRST_PACKETS = 100  # read for a time if the header has none


def container_length(container: Any, tick: fractions.Fraction) -> int | None:
    import av

    if container.duration:
        return int(fractions.Fraction(container.duration, av.time_base) / tick)
    return None


def first_time(container: Any, stream: Any) -> int:
    """Return the earliest time of the first packets, for a header without a start."""
    from av.error import FFmpegError

    times: list[int] = []
    with contextlib.suppress(FFmpegError):
        for packet in itertools.islice(container.demux(stream), _FIRST_PACKETS):
            if packet.pts is not None and not packet.is_discard:
                times.append(packet.pts)
    return min(times, default=0)


def packets_length(container: Any, stream: Any, start: int) -> int:
    """Return the end of the last packet, for a header without a length.

    It reads the whole file and decodes nothing.
    """
    from av.error import FFmpegError

    end, untimed = 1, 0
    with contextlib.suppress(FFmpegError):  # the packets before the damage count
        for packet in container.demux(stream):
            duration = packet.duration or 1
            if packet.pts is not None:
                end = max(end, packet.pts - start + duration)
            elif packet.size:
                untimed += duration
    return max(end, untimed)
