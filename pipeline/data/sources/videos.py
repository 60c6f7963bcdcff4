"""A folder of video files, searched through all its subfolders."""

import os

import numpy as np

from pipeline.core.errors import DataError
from pipeline.data.listing import VIDEO_SUFFIXES, Listing, is_video
from pipeline.data.sources.folder import walk
from pipeline.data.video_source import Video


class VideoFolder:
    """Video files under `path`, sorted by relative path. The first subfolder of a file is its class.

    As of images, the fingerprint covers relative paths and sizes, and hidden and other files are passed over. Nothing
    is opened before its turn comes.
    """

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        if not os.path.isdir(path):
            problem = "is not a folder" if os.path.exists(path) else "does not exist"
            raise DataError(f"{key}={path!r} {problem}: point it at a folder of videos")
        found = sorted(walk(path, is_video))
        if not found:
            raise DataError(
                f"{path} has no videos ({', '.join(VIDEO_SUFFIXES)}) in it or in its subfolders"
            )
        self.listing = Listing(
            [name for name, _ in found], np.array([size for _, size in found], np.int64)
        )
        self.classes = self.listing.classes
        self.fingerprint = f"videos:{self.listing.fingerprint}"

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Video:
        return Video(self.name(index), int(self.listing.labels[index]))

    def size(self, index: int) -> None:
        return None

    def name(self, index: int) -> str:
        return os.path.join(self.path, self.listing.name(index))
