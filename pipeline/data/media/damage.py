"""Counts the frames of a file that are damaged, missing, or behind the end of a truncated file."""

import fractions
import re
from typing import Any

# Containers and codecs in which every packet with a time is a frame that is shown at that time.
_ONE_FRAME_A_PACKET = ("mov", "matroska")
_SEVERAL = ("vp8", "mpeg4", "msmpeg4v3")


class Damage:
    """The frames of a file that is read from its start to its end.

    `due` are the times of packets whose frames have not come out of the decoder yet. Frames come in
    the order of their times, so that a due time before that of a frame is a missing one.
    """

    def __init__(self, container: Any, stream: Any, tick: fractions.Fraction, begin: int):
        self._container, self._stream, self._tick, self._begin = container, stream, tick, begin
        self._counts = (
            container.format.name.startswith(_ONE_FRAME_A_PACKET)
            and stream.codec_context.name not in _SEVERAL
        )
        self._due: set[int] = set()
        self._bad: set[int] = set()
        self._failed: list[int] = []
        self._packets, self._until = 0, begin
        self.reason = ""  # of the first failure

    def expect(self, packet: Any) -> None:
        """Note a packet before it is decoded."""
        self._packets += packet.size > 0
        if self._counts and packet.size and packet.pts is not None and not packet.is_discard:
            self._due.add(packet.pts)

    def fail(self, packet: Any, reason: str) -> None:
        """Note that a packet, or one that the decoder was still working on, cannot be decoded."""
        self.reason = self.reason or reason
        if not self._counts and packet.size:
            self._failed.append(self._until)

    def show(self, stored_pts: int | None, pts: int, until: int, corrupt: bool) -> None:
        """Note a frame: its time by the container, and the times from and until it is shown."""
        self._until = until
        if stored_pts is not None and self._counts:
            self._due.discard(stored_pts)
            self._bad.discard(stored_pts)
            missing = {due for due in self._due if due < stored_pts}
            self._due -= missing
            self._bad |= missing
        if corrupt:
            self._bad.add(pts)

    def reach(self, packet: Any) -> None:
        """Note a packet that is not decoded."""
        self._packets += packet.size > 0
        if packet.pts is not None:
            self._until = max(self._until, packet.pts + (packet.duration or 1))

    def remarks(self) -> list[str]:
        """Return what is damaged, and from when, after the last frame."""
        bad = [*self._bad, *self._due, *self._failed]
        found = []
        if bad:
            frames = "1 frame is" if len(bad) == 1 else f"{len(bad)} frames are"
            seconds = max(0.0, float((min(bad) - self._begin) * self._tick))
            found.append(
                f"{frames} damaged or missing, from {seconds:.2f} s on; those up to the next "
                "keyframe may show it"
            )
        return found + self.missing_end()

    def missing_end(self) -> list[str]:
        """Return what a truncated file lacks, after its last packet or frame."""
        if "mov" in self._container.format.name:
            missing = len(self._stream.index_entries) - self._packets
            return [f"ends early: its last {missing} frames are missing"] if missing > 0 else []
        end = _header_end(self._stream, self._begin, self._tick)
        rate = self._stream.average_rate
        if end is None or not rate or end - self._until <= 2 / (rate * self._tick):
            return []
        shown, full = (float((at - self._begin) * self._tick) for at in (self._until, end))
        return [f"ends early: at {shown:.2f} of {full:.2f} s"]


def _header_end(stream: Any, begin: int, tick: fractions.Fraction) -> fractions.Fraction | None:
    """Return the tick at which a stream ends according to the file's header, if it says so."""
    if stream.duration:
        return fractions.Fraction(begin + stream.duration)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if not tag:
        return None
    hours, minutes, seconds = map(fractions.Fraction, tag.groups())
    return (3600 * hours + 60 * minutes + seconds) / tick
