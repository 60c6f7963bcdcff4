"""A folder of image files, including its subfolders."""

import os

import numpy as np
from jaxtyping import Int

from pipeline.data.listing import is_image, list_folder
from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable

MODALITY = "image"
wanted = is_image


class Folder:
    """Image files under `path`, sorted by path. The first subfolder of a file is its class.

    The fingerprint covers relative paths and sizes: reading a million files to hash them would take
    longer than many runs. Hidden files and files without an image's suffix are skipped.
    """

    shape = None

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        self.listing = list_folder(
            path, key, is_image, what="image", suffixes=".jpg, .png, .webp, ..."
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
            # Other errors, like a lost network mount, end the run: skipping would change the
            # stream.
            raise Unreadable(error.strerror or str(error)) from error

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """Return None: files have no common shape."""

    def name(self, index: int) -> str:
        return os.path.join(self.path, self.listing.name(index))


create = Folder
