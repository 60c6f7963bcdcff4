"""A folder of video files, including its subfolders."""

import os

from pipeline.data.listing import VIDEO_SUFFIXES, is_video, list_folder
from pipeline.data.source import Video

MODALITY = "video"
wanted = is_video


class VideoFolder:
    """Video files under `path`, sorted by path. The first subfolder of a file is its class.

    The fingerprint covers relative paths and sizes. Hidden files and files without a video's suffix
    are skipped. A file is opened only when its turn comes.
    """

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        self.listing = list_folder(
            path, key, is_video, what="video", suffixes=", ".join(VIDEO_SUFFIXES)
        )
        self.classes = self.listing.classes
        self.fingerprint = f"videos:{self.listing.fingerprint}"

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Video:
        return Video(self.name(index), int(self.listing.labels[index]))

    def size(self, index: int) -> None:
        """Return None: a file has to be opened."""

    def name(self, index: int) -> str:
        return os.path.join(self.path, self.listing.name(index))


create = VideoFolder
