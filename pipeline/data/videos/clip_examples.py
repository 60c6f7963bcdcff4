"""The examples of a batch of clips: parts of videos, or images as clips of one frame."""

import re
import sys
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8, UInt64

from pipeline.data import randomness
from pipeline.data.images.decode import decode
from pipeline.data.loading.batches import Draws
from pipeline.data.media.video_file import VideoFile
from pipeline.data.source import ImageSource, VideoSource
from pipeline.data.unreadable import file_of
from pipeline.data.videos.clips import Clip, Filmstrip, Still
from pipeline.data.videos.window import Window

_REPORTED: set[str] = set()


class ClipExamples:
    """Clips of one shape from some of a source's videos (pipeline.data.loading.batches.Examples).

    `members` are the videos' indices. The clips of the i-th member are the clips_per_video examples
    from i * clips_per_video on. Their starts are random, or evenly spaced if `even`, as in
    evaluation.
    """

    key = "video"

    def __init__(
        self,
        source: VideoSource,
        members: Int[np.ndarray, " n"],
        clip: Clip,
        window: Window,
        clips_per_video: int,
        *,
        even: bool,
    ):
        self.source, self.clip, self.window, self._even = source, clip, window, even
        self.members, self.clips_per_video = members, clips_per_video

    def with_clip(self, clip: Clip) -> "ClipExamples":
        """Return other clips of the same videos, at random starts."""
        return ClipExamples(
            self.source, self.members, clip, self.window, self.clips_per_video, even=False
        )

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.clip.num_frames, *self.window.shape)

    def __len__(self) -> int:
        return len(self.members) * self.clips_per_video

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """Return None: clips are decoded one by one."""

    def read(self, index: int, draws: Draws) -> tuple[UInt8[np.ndarray, "t h w 3"], int]:
        member, number = divmod(index, self.clips_per_video)
        video_index = int(self.members[member])
        video = self.source[video_index]

        def place(room: int) -> int:
            if self._even:
                return room * (2 * number + 1) // (2 * self.clips_per_video)
            return randomness.below(draws.start, room)

        def render(frame: Any) -> np.ndarray:
            return self.window.render(frame, draws)

        if isinstance(video.data, np.ndarray):
            return self.clip.take(Filmstrip(video.data, video.fps), place, render), video.label
        with VideoFile(video.data, video.begin, video.end) as file:
            pixels = self.clip.take(file, place, render)
            report_once(self.source.name(video_index), file)
            return pixels, video.label

    def finish(
        self,
        pixels: UInt8[np.ndarray, "b t h w 3"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b t h w 3"]:
        del noise
        return self.window.finish(pixels, mirrored)

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        member, number = np.divmod(indices, self.clips_per_video)
        return np.where(
            indices < 0, -1, self.members[member] * self.clips_per_video + number
        ).astype(np.int32)

    def name(self, index: int) -> str:
        return self.source.name(int(self.members[index // self.clips_per_video]))

    def file(self, index: int) -> str:
        """Return the file of one example, which others may share."""
        return file_of(self.source, int(self.members[index // self.clips_per_video]))


def report_once(name: str, file: VideoFile) -> None:
    """Print what the user should know of a video, each remark for the first video that has it.

    Remarks that differ in their numbers only are the same remark.
    """
    for text in [*file.notes(), *([f"ends early: {file.trouble}"] if file.trouble else [])]:
        kind = re.sub(r"[\d.]+", "", text)
        if kind not in _REPORTED:
            _REPORTED.add(kind)
            print(f"{name}: {text}; further such videos are not named", file=sys.stderr, flush=True)


class StillExamples:
    """Images as clips of one frame (see pipeline.data.loading.batches.Examples), without labels.

    Their positions in the dataset begin at `after`, the number of clips.
    """

    key = "video"

    def __init__(self, source: ImageSource, window: Window, after: int):
        self.source, self.window, self._after = source, window, after

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, *self.window.shape)

    def __len__(self) -> int:
        return len(self.source)

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        return None

    def read(self, index: int, draws: Draws) -> tuple[UInt8[np.ndarray, "1 h w 3"], int]:
        record = self.source[index]
        image = record.data
        if isinstance(image, bytes):
            at_least = (
                0 if self.window.resize == "none" else max(self.window.height, self.window.width)
            )
            image = decode(image, 3, at_least=at_least)
        return self.window.render(Still(image), draws)[None], -1

    def finish(
        self,
        pixels: UInt8[np.ndarray, "b 1 h w 3"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b 1 h w 3"]:
        del noise
        return self.window.finish(pixels, mirrored)

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return np.where(indices < 0, -1, indices + self._after).astype(np.int32)

    def name(self, index: int) -> str:
        return self.source.name(index)
