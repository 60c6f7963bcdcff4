"""Passes the packets of a video to its decoder, and tells when the frames are shown."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from pipeline.data.media.container import reason_of
from pipeline.data.media.damage import Damage


class DecodingClock:
    """Times of frames in a container that stores decoding times only.

    Its presentation times are guesses of FFmpeg, wrong where frames are reordered. A decoder passes
    the decoding time of the packet that it was given when it released a frame; it holds frames back
    for a constant number of packets.
    """

    def __init__(self, delay: int | None):
        self._delay = delay

    def time_of(self, frame: Any) -> int | None:
        """Return the time at which a frame is shown, or None if it is not known."""
        if frame.dts is None or self._delay is None:
            return None
        return frame.dts - self._delay


def decoder_delay(container: Any, stream: Any) -> int | None:
    """Return for how many ticks the decoder holds frames back, from the first frame of a file.

    It is not known from a frame after a seek: the decoder drops those behind a keyframe that need
    frames before it.
    """
    from av.error import FFmpegError

    first = None
    with contextlib.suppress(FFmpegError):
        for packet in container.demux(stream):
            first = packet.dts if first is None else first
            for frame in packet.decode():
                return None if frame.dts is None or first is None else frame.dts - first
    return None


def all_decoded(packets: Iterator[Any], damage: Damage | None) -> Iterator[Any]:
    """Yield the frames of all packets; with `damage`, those that fail are counted."""
    from av.error import FFmpegError

    for packet in packets:
        if damage is None:
            yield from packet.decode()
            continue
        damage.expect(packet)
        try:
            frames = packet.decode()
        except FFmpegError as error:
            damage.fail(packet, reason_of(error))
            continue
        yield from frames


def decoded_from(packets: Iterator[Any], stream: Any, wanted: Any) -> Iterator[Any]:
    """Yield all frames from the one displayed at tick `wanted` on, and earlier ones they need.

    Packets up to that frame are read ahead, because only then it is known which of them it is.
    """
    from av.error import FFmpegError

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

    skipping = False
    for packet in itertools.chain(ahead, packets):
        early = shown is not None and packet.pts is not None and packet.pts < shown
        if early != skipping:
            stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
            skipping = early
        yield from packet.decode()
    if broken is not None:
        raise broken
