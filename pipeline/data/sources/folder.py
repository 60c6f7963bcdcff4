"""A folder of image files, searched through all its subfolders."""

import os
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import DataError
from pipeline.data.listing import Listing, is_image
from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable


class Folder:
    """Image files under `path`, sorted by relative path. The first subfolder of a file is its class.

    The fingerprint covers relative paths and sizes: reading a million files to hash them would take longer
    than many runs. Hidden files and files without an image's suffix are passed over.
    """

    shape = None

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        if not os.path.isdir(path):
            problem = "is not a folder" if os.path.exists(path) else "does not exist"
            raise DataError(f"{key}={path!r} {problem}: point it at a folder of images")
        found = sorted(walk(path, is_image))
        if not found:
            raise DataError(
                f"{path} has no image files (.jpg, .png, .webp, ...) in it or in its subfolders"
            )
        self.listing = Listing(
            [name for name, _ in found], np.array([size for _, size in found], np.int64)
        )
        self.classes = self.listing.classes
        self.fingerprint = f"folder:{self.listing.fingerprint}"

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Record:
        try:
            with open(self.name(index), "rb") as file:
                return Record(file.read(), int(self.listing.labels[index]))
        except (FileNotFoundError, PermissionError) as error:
            # Other errors, like a lost network mount, end the run: skipping would change the stream.
            raise Unreadable(error.strerror or str(error)) from error

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """None: files have no common shape."""

    def name(self, index: int) -> str:
        return os.path.join(self.path, self.listing.name(index))


def walk(root: str, wanted: Callable[[str], bool]) -> list[tuple[str, int]]:
    """(relative path, bytes) of each file wanted by its name; follows links to folders, but into each only once."""
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
                if entry.is_dir():
                    if not entry.name.startswith("."):
                        pending.append(name)
                elif wanted(name) and entry.is_file():
                    found.append((name, entry.stat().st_size))
    return found
