"""Names of files in a folder or an archive, kept as one text: there may be millions of them."""

import hashlib

import numpy as np
from jaxtyping import Int

# What counts as an image when a folder or an archive is listed; other files are passed over.
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".png",
    ".webp",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
)
SUFFIXES += (".jp2", ".avif", ".tga")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".gif")


def is_image(name: str) -> bool:
    """Whether a relative path with forward slashes names an image, by its suffix; hidden files do not."""
    return _shown(name) and name.lower().endswith(SUFFIXES)


def is_video(name: str) -> bool:
    """The same for videos; an animated .gif counts as both."""
    return _shown(name) and name.lower().endswith(VIDEO_SUFFIXES)


def _shown(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class Listing:
    """Relative paths in sorted order, each with its class: its first folder; -1 outside any folder."""

    def __init__(self, names: list[str], sizes: Int[np.ndarray, " n"]):
        """`names` are sorted, with /; `sizes` are bytes, or anything that changes with the content."""
        self.classes = tuple(sorted({name.split("/", 1)[0] for name in names if "/" in name}))
        number = {name: label for label, name in enumerate(self.classes)}
        self.labels = np.array(
            [number[name.split("/", 1)[0]] if "/" in name else -1 for name in names], np.int32
        )
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
        digest = hashlib.sha256(b"\0".join(encoded))
        digest.update(np.ascontiguousarray(sizes, np.int64).tobytes())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, index: int) -> str:
        """The relative path of a file."""
        start = int(self._ends[index - 1]) if index else 0
        return self._text[start : int(self._ends[index])].decode("utf-8", "surrogateescape")
