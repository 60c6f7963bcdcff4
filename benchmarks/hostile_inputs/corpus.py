"""The place of a campaign: a folder for the inputs, and tiny codecs for the commands."""

import functools
import itertools
import pathlib
from collections.abc import Callable
from typing import Any
from unittest import mock

import tiny_codec
import tiny_video_codec

from pipeline.pretrained.load import Codec


class Corpus:
    """A folder that is filled by the kinds of input.

    Attributes:
      folder: holds everything.
      num_files: how many hostile files there are so far.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.num_files = 0
        self._numbers = itertools.count()

    @functools.cached_property
    def image_codec(self) -> pathlib.Path:
        """Folder of a codec of images of 8x8 RGB."""
        tiny_codec.tiny_codec("hierarchy").save_pretrained(self.folder / "codecs/images")
        return self.folder / "codecs/images"

    @functools.cached_property
    def video_codec(self) -> pathlib.Path:
        """Folder of a codec of images and videos of any size."""
        tiny_video_codec.tiny_codec().save_pretrained(self.folder / "codecs/videos")
        return self.folder / "codecs/videos"

    def new(self, kind: str) -> pathlib.Path:
        """Return a path of a folder that does not exist yet."""
        return self.folder / kind / f"{next(self._numbers):04}"

    def put(self, kind: str, name: str, data: bytes) -> pathlib.Path:
        """Write a file into a folder of its own, and count it."""
        return self.later(kind, name, lambda path: path.write_bytes(data))()

    def later(
        self, kind: str, name: str, write: Callable[[pathlib.Path], Any]
    ) -> Callable[[], pathlib.Path]:
        """Return a function that writes a file into a folder of its own on its first call."""

        @functools.cache
        def path() -> pathlib.Path:
            place = self.new(kind) / name
            place.parent.mkdir(parents=True)
            write(place)
            self.num_files += 1
            return place

        return path


def loaded_once() -> Any:
    """Return a context in which a codec folder is read, and its functions compiled, only once."""
    read = Codec.from_pretrained
    return mock.patch.object(Codec, "from_pretrained", staticmethod(functools.cache(read)))
