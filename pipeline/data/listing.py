"""Names of image and video files in a folder or an archive, stored compactly."""

import hashlib
import os
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
IMAGE_SUFFIXES += (".ppm", ".pgm", ".pbm", ".jp2", ".avif", ".tga")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mkv", ".webm", ".mov", ".avi", ".gif")


def is_image(name: str) -> bool:
    """Return whether a relative path with forward slashes is that of an image to list.

    Hidden files, and files in hidden folders, are not listed.
    """
    return is_visible(name) and has_image_suffix(name)


def is_video(name: str) -> bool:
    """Return whether a relative path is that of a video to list; a .gif is also an image."""
    return is_visible(name) and has_video_suffix(name)


def has_image_suffix(name: str) -> bool:
    """Return whether a file's name has the suffix of an image, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def has_video_suffix(name: str) -> bool:
    """Return whether a file's name has the suffix of a video, in any case."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def is_visible(name: str) -> bool:
    """Return whether neither a file nor a folder in its relative path is hidden."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def walk(root: str, wanted: Callable[[str], bool]) -> list[tuple[str, int]]:
    """Return (relative path, bytes) of every visible file under `root` whose path is `wanted`.

    This is the one rule for which files of a folder count. Follows links to folders, but enters
    each folder only once.

    Raises:
      DataError: a folder cannot be read.
    """
    try:
        return _walked(root, wanted)
    except OSError as error:
        raise DataError(f"{error.filename or root}: {error.strerror or error}") from None


def _walked(root: str, wanted: Callable[[str], bool]) -> list[tuple[str, int]]:
    found, pending, seen = [], [""], set()
    while pending:
        folder = pending.pop()
        status = os.stat(os.path.join(root, folder))
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if not is_visible(entry.name):
                    continue
                if entry.is_dir():
                    pending.append(name)
                elif wanted(name) and entry.is_file():
                    found.append((name, entry.stat().st_size))
    return found


def list_folder(
    path: str, key: str, wanted: Callable[[str], bool], *, what: str, suffixes: str
) -> "Listing":
    """List the `wanted` files under a folder; `key` names its setting, `what` its content.

    Raises:
      DataError: there is no such folder, or no wanted file in it.
    """
    if not os.path.isdir(path):
        problem = "is not a folder" if os.path.exists(path) else "does not exist"
        raise DataError(f"{key}={path!r} {problem}: point it at a folder of {what}s")
    found = sorted(walk(path, wanted))
    if not found:
        raise DataError(f"{path} has no {what} files ({suffixes}) in it or in its subfolders")
    sizes = np.array([size for _, size in found], np.int64)
    return Listing([name for name, _ in found], sizes)


class Listing:
    """Relative paths in sorted order, each with its class: its first folder, or -1 without one.

    The paths are one string of bytes, because there may be millions of them.
    """

    def __init__(self, names: list[str], sizes: Int[np.ndarray, " n"]):
        """`names` are sorted, with /; `sizes` are bytes, or numbers that follow the content."""
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
        """Return the relative path of a file."""
        start = int(self._ends[index - 1]) if index else 0
        return self._text[start : int(self._ends[index])].decode("utf-8", "surrogateescape")
