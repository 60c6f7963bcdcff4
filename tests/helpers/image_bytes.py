"""Encoders of TIFF, PNG and ICC profiles in forms that Pillow does not write."""

import io
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_TIFF_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 7: "B"}


def tiff(
    pixels: np.ndarray,
    photometric: int,
    *,
    order: str = "<",
    compression: int = 1,
    separate: bool = False,
    extra: Sequence[int] = (),
    tags: Mapping[int, tuple[int, Sequence[int]]] | None = None,
    data: bytes | None = None,
) -> bytes:
    """Return a TIFF of pixels [h w c] in one strip a plane.

    Args:
      photometric: 0 grey with white 0, 1 grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 CIELAB.
      order: "<" little-endian, ">" big-endian.
      compression: 1 none, 8 deflate.
      separate: whether each channel has a plane of its own.
      extra: meaning of channels beyond the colours: 0 none, 1 premultiplied alpha, 2 alpha.
      tags: {tag: (type, values)} that are added or replaced.
      data: the content of the strip instead of the pixels.
    """
    height, width, channels = pixels.shape
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    planes = [stored[..., i].tobytes() for i in range(channels)] if separate else [stored.tobytes()]
    planes = planes if data is None else [data]
    planes = [zlib.compress(plane) if compression == 8 else plane for plane in planes]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    entries: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * pixels.dtype.itemsize] * channels),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [channels]),
        278: (4, [height]),
        279: (4, [len(plane) for plane in planes]),
        284: (3, [1 + separate]),
        339: (3, [kind] * channels),
    }
    entries |= {338: (3, extra)} if extra else {}
    entries |= dict(tags or {})
    entries[273] = (4, [0] * len(planes))
    place = 8 + 2 + 12 * len(entries) + 4
    start = place + sum(len(_packed(order, *entry)) for entry in entries.values())
    entries[273] = (4, [start + sum(map(len, planes[:i])) for i in range(len(planes))])
    directory, beyond = struct.pack(order + "H", len(entries)), b""
    for tag, (kind_of_value, values) in sorted(entries.items()):
        packed = _packed(order, kind_of_value, values)
        directory += struct.pack(order + "HHI", tag, kind_of_value, len(values))
        directory += packed or _value(order, kind_of_value, values).ljust(4, b"\0")
        if packed:
            directory = directory[: -len(packed)] + struct.pack(order + "I", place + len(beyond))
            beyond += packed
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + directory + bytes(4) + beyond + b"".join(planes)


def _value(order: str, kind: int, values: Sequence[int]) -> bytes:
    return struct.pack(f"{order}{len(values)}{_TIFF_TYPES[kind]}", *values)


def _packed(order: str, kind: int, values: Sequence[int]) -> bytes:
    """Return a value that does not fit into its entry, of even length; empty if it fits."""
    packed = _value(order, kind, values)
    return packed + bytes(len(packed) % 2) if len(packed) > 4 else b""


def png(
    rows: Sequence[bytes],
    width: int,
    *,
    bits: int = 8,
    color: int = 2,
    before: Iterable[tuple[bytes, bytes]] = (),
    after: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """Return a PNG of packed rows with chunks (name, content) before and after its pixels.

    `color` is 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
    """
    header = struct.pack(">IIBBBBB", width, len(rows), bits, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *before, (b"IDAT", pixels), *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def srgb_profile() -> bytes:
    """Return LittleCMS' sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """Return sRGB with the primaries of red and green exchanged."""
    whole = srgb_profile()
    count = struct.unpack(">I", whole[128:132])[0]
    entries = {whole[132 + 12 * i : 136 + 12 * i]: 136 + 12 * i for i in range(count)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    changed = bytearray(whole)
    changed[red : red + 4], changed[green : green + 4] = (
        whole[green : green + 4],
        whole[red : red + 4],
    )
    return bytes(changed)


def grey_profile(gamma: float) -> bytes:
    """Return a profile of grey with this gamma."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """Return a profile of CMYK whose cyan is a dull red: nothing like the plain conversion."""
    lab = []
    for corner in np.ndindex(2, 2, 2, 2):  # the last ink, black, varies fastest
        light = 255 * (1 - corner[3]) - 40 * (1 - corner[3]) * sum(corner[:3])
        a, b = 128 + 50 * corner[0] * (1 - corner[3]), 128 - 40 * corner[1] + 30 * corner[2]
        lab += [light, a, b]
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    table += ramp * 4 + bytes(lab) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    text = b"text" + bytes(4) + b"none\0" + bytes(3)
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78 + 1)
    tags = {b"desc": description, b"cprt": text, b"wtpt": b"XYZ " + bytes(4) + white} | tags
    place, index, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        index += name + struct.pack(">II", place + len(body), len(content))
        body += content
    size = place + len(body)
    head = struct.pack(">I4xI", size, 0x02400000) + kind + space + pcs
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    return head.ljust(68, b"\0") + white + bytes(48) + struct.pack(">I", len(tags)) + index + body


def applied(image: Image.Image, profile: bytes) -> np.ndarray:
    """Return the pixels of an image that Pillow converts from its profile to sRGB."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target: Any = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)
