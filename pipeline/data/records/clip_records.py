"""One packed clip: a header of 48 bytes and a payload, a video file's bytes or raw uint8 frames [t h w 3].

Beside the shards, sizes.npy has the frames, height and width of every record, so that nothing is opened to sort them
into buckets; its hash is in the manifest's schema.
"""

import math
import struct
from typing import NamedTuple

import numpy as np

from pipeline.data.unreadable import Unreadable
from pipeline.data.video_source import Video

SIZES = "sizes.npy"
_HEADER = struct.Struct(
    "<4sBxxxiIIIddd"
)  # magic, kind, label, frames, height, width, fps, begin, end
_MAGIC = b"SCR1"
_ENCODED, _RAW = 0, 1


class Packed(NamedTuple):
    """A clip to store: its video, and frames, height and width as they are shown."""

    video: Video
    size: tuple[int, int, int]


def to_bytes(packed: Packed) -> bytes:
    """One record as it is stored."""
    video = packed.video
    assert not isinstance(video.data, str)
    kind, content = (
        (_ENCODED, video.data) if isinstance(video.data, bytes) else (_RAW, video.data.tobytes())
    )
    header = _HEADER.pack(
        _MAGIC, kind, video.label, *packed.size, video.fps, video.begin, video.end
    )
    return header + content


def from_bytes(stored: bytes) -> Video:
    """The inverse of to_bytes. Raises Unreadable."""
    if len(stored) < _HEADER.size or not stored.startswith(_MAGIC):
        raise Unreadable("not a record of a packed clip")
    _, kind, label, frames, height, width, fps, begin, end = _HEADER.unpack_from(stored)
    if kind == _ENCODED:
        return Video(stored[_HEADER.size :], label, begin, end, fps)
    shape = (frames, height, width, 3)
    if len(stored) != _HEADER.size + math.prod(shape):
        raise Unreadable(
            f"a record of {len(stored)} bytes cannot hold {'x'.join(map(str, shape))} pixels"
        )
    return Video(
        np.frombuffer(stored, np.uint8, offset=_HEADER.size).reshape(shape), label, begin, end, fps
    )
