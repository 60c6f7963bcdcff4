"""The bytes of one packed clip: a header of 48 bytes, and a video file's bytes or raw frames.

Raw frames are uint8 [t h w 3]. Next to the shards, sizes.npy has the frames, height and width of
every record, so that nothing is opened to sort clips into buckets; the manifest's schema has its
hash.
"""

import math
import struct
from typing import NamedTuple

import numpy as np

from pipeline.data.source import Video
from pipeline.data.unreadable import Unreadable

SIZES = "sizes.npy"
# Magic, encoding, label, frames, height, width, fps, begin, end.
_HEADER = struct.Struct("<4sBxxxiIIIddd")
_MAGIC = b"SCR1"
_ENCODED, _RAW = 0, 1


class Packed(NamedTuple):
    """A clip to store: its video, and its frames, height and width as they are displayed."""

    video: Video
    size: tuple[int, int, int]


def to_bytes(packed: Packed) -> bytes:
    """Return one record as it is stored."""
    video = packed.video
    assert not isinstance(video.data, str)
    if isinstance(video.data, bytes):
        encoding, content = _ENCODED, video.data
    else:
        encoding, content = _RAW, video.data.tobytes()
    header = _HEADER.pack(
        _MAGIC, encoding, video.label, *packed.size, video.fps, video.begin, video.end
    )
    return header + content


def from_bytes(stored: bytes) -> Video:
    """Return the video that `to_bytes` stored. Raises Unreadable."""
    if len(stored) < _HEADER.size or not stored.startswith(_MAGIC):
        raise Unreadable("not a record of a packed clip")
    _, encoding, label, frames, height, width, fps, begin, end = _HEADER.unpack_from(stored)
    if encoding == _ENCODED:
        return Video(stored[_HEADER.size :], label, begin, end, fps)
    shape = (frames, height, width, 3)
    if len(stored) != _HEADER.size + math.prod(shape):
        raise Unreadable(
            f"a record of {len(stored)} bytes cannot hold {'x'.join(map(str, shape))} pixels"
        )
    pixels = np.frombuffer(stored, np.uint8, offset=_HEADER.size).reshape(shape)
    return Video(pixels, label, begin, end, fps)
