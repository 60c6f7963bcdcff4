"""The bytes of one packed image: a header of 20 bytes, and an image file's bytes or raw pixels.

Raw pixels are uint8 [h w c].
"""

import struct

import numpy as np

from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable

# Magic, encoding, channels, label, height, width; the sizes of an encoded image are 0.
HEADER = struct.Struct("<4sBBxxiII")
LABEL_OFFSET = 8
_MAGIC = b"SIR1"
_ENCODED, _RAW = 0, 1


def to_bytes(record: Record) -> bytes:
    """Return one record as it is stored."""
    if isinstance(record.data, bytes):
        return HEADER.pack(_MAGIC, _ENCODED, 0, record.label, 0, 0) + record.data
    height, width, channels = record.data.shape
    return HEADER.pack(_MAGIC, _RAW, channels, record.label, height, width) + record.data.tobytes()


def from_bytes(stored: bytes) -> Record:
    """Return the record that `to_bytes` stored. Raises Unreadable."""
    if len(stored) < HEADER.size or not stored.startswith(_MAGIC):
        raise Unreadable("not a record of packed images")
    _, encoding, channels, label, height, width = HEADER.unpack_from(stored)
    if encoding == _ENCODED:
        return Record(stored[HEADER.size :], label)
    if len(stored) != HEADER.size + height * width * channels:
        raise Unreadable(
            f"a record of {len(stored)} bytes cannot hold {height}x{width}x{channels} pixels"
        )
    pixels = np.frombuffer(stored, np.uint8, offset=HEADER.size).reshape(height, width, channels)
    return Record(pixels, label)
