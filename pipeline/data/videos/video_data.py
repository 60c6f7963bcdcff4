"""The videos of a run: config.data -> batches of uint8 [b t h w c]."""

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import ConfigError
from pipeline.data import sources
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.splits import open_splits
from pipeline.data.media.video_file import size_of
from pipeline.data.source import VideoSource
from pipeline.data.unreadable import Unreadable
from pipeline.data.videos.buckets import Shape, shapes_of
from pipeline.data.videos.clip_examples import ClipExamples, StillExamples
from pipeline.data.videos.clips import Clip
from pipeline.data.videos.window import Window

_PROBES = 16  # files opened at a time, to sort them into buckets


@dataclasses.dataclass(eq=False)
class VideoData(Dataset):
    """Clips as batches of uint8 [b t h w 3]; the arguments are the keys of a recipe's config.data.

    Batch k of training, including its shape, is a pure function of (settings, seed, k). All
    examples of a batch have one shape.

    Args:
      source: name of a module of pipeline.data.sources whose modality is videos.
      path: the folder or file; empty for a source that reads none.
      image_size: height and width of clips, in pixels. With buckets, the size that the model and
        reports get.
      num_frames: number of frames of a clip, of a length that the model takes.
      fps: frames per second of a clip, whatever the file's rate; 0 uses the file's frames as they
        are.
      stride: use every stride-th of these frames.
      short: how to handle a video that is too short for a clip: "skip" counts it as unreadable, and
        "repeat" repeats its last frame.
      clips_per_video: number of examples that each video stands for; training starts each of them
        at a random position in the video, and evaluation spreads them evenly.
      buckets: heights and widths, such as [[256, 256], [192, 336]]: each video goes to the one
        whose aspect ratio is nearest its own. A batch comes from one bucket, and a bucket is used
        in proportion to its number of videos.
      crop: "random" or "center", the position of the crop in the frames; evaluation always uses the
        centre.
      resize: "shrink" scales the largest such crop down and counts smaller videos as unreadable;
        "fit" also enlarges them; "none" crops without scaling.
      flip: mirror at random, in training; a whole clip at once.
      num_crops: number of fixed crops of each example, with their starts and flips, of which
        training shows one whenever it shows a video; 0 draws a new clip each time.
      image_fraction: share of training batches that are single frames, [b 1 h w 3].
      image_source, image_path: a source of images for these; without it they are frames of the
        videos.
      num_workers: number of processes that decode ahead; 0 decodes in threads of this process.
      max_unreadable: maximal number of unreadable videos before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the videos held out for evaluation if there is no eval_path.

    Attributes:
      transform: the Window of one frame: its `shape` is (image_size, image_size, 3).
      fingerprint: sha256 over the training examples and the settings that change their stream; not
        the evaluation set.
      classes: names of the labels, or empty.
      unreadable: "name: reason" of each video skipped so far by any iterator of this object.

    Raises:
      ConfigError: a setting that cannot work.
      DataError: a dataset that cannot be used.
    """

    source: str
    path: str = ""
    _: dataclasses.KW_ONLY
    image_size: int
    num_frames: int
    fps: float | int = 0
    stride: int = 1
    short: str = "skip"
    clips_per_video: int = 1
    buckets: Sequence[Sequence[int]] = ()
    crop: str = "center"
    resize: str = "shrink"
    flip: bool = False
    image_fraction: float | int = 0.0
    image_source: str = ""
    image_path: str = ""
    num_workers: int = 0
    max_unreadable: int = 10
    eval_path: str = ""
    eval_fraction: float | int = 0.05
    num_crops: int = 0

    modality = "video"

    def __post_init__(self):
        self._check_limits()
        self._clip = Clip(self.num_frames, self.fps, self.stride, self.short)
        self.transform = Window(self.image_size, self.image_size, self.crop, self.resize, self.flip)
        self._shapes = shapes_of(self.buckets) or [(self.image_size, self.image_size)]
        if self.clips_per_video < 1:
            raise ConfigError(f"data.clips_per_video={self.clips_per_video} must be at least 1")
        videos, held_out = self._open()
        self.classes = videos.classes
        clips = self._examples(videos)
        stills, images = self._stills(clips)
        self._training = _mixed(clips, stills, self.image_fraction)
        self._num_clips = sum(map(len, clips))
        self._held_out = [] if held_out is None else self._examples(held_out, evaluation=True)
        self.fingerprint = digest(
            videos.fingerprint, self._stream_settings(), float(self.image_fraction), images
        )
        self._check_readable(clips[:1], self.where)
        if images:
            self._check_readable(stills[:1], self.image_path or self.image_source)
        if self.eval_path:
            self._check_readable(self._held_out[:1], self.eval_path)

    @property
    def num_examples(self) -> int:
        """Number of clips in the training set, without the images that are mixed in."""
        return self._num_clips

    @classmethod
    def example_shape(cls, settings: Mapping[str, Any]) -> tuple[int, ...]:
        return (settings["num_frames"], settings["image_size"], settings["image_size"], 3)

    @property
    def model_sizes(self) -> dict[str, tuple[str, int]]:
        return {
            "image_size": ("data.image_size", self.image_size),
            "image_channels": ("data.channels", 3),
        }

    def _open(self) -> tuple[VideoSource, VideoSource | None]:
        """Open the videos for training, and those held out for evaluation."""
        made = "length" in sources.arguments_of(self.source)
        if made and (self.fps or self.buckets):
            raise ConfigError(
                f"data.source={self.source!r} takes no data.fps and no data.buckets: "
                "its clips are square"
            )
        return open_splits(
            self.source,
            self.path,
            modality="video",
            eval_path=self.eval_path,
            eval_fraction=self.eval_fraction,
            image_size=self.image_size,
            length=(self.num_frames - 1) * self.stride + 1,
        )

    def _examples(self, source: VideoSource, *, evaluation: bool = False) -> list[ClipExamples]:
        """Return the clips of each shape for which there are videos."""
        nearest = _nearest_shapes(source, self._shapes)
        window = self.transform.for_evaluation() if evaluation else self.transform
        examples = []
        for number, (height, width) in enumerate(self._shapes):
            members = np.flatnonzero(nearest == number)
            if len(members):
                sized = dataclasses.replace(window, height=height, width=width)
                examples.append(
                    ClipExamples(
                        source, members, self._clip, sized, self.clips_per_video, even=evaluation
                    )
                )
        return examples

    def _stills(
        self, clips: Sequence[ClipExamples]
    ) -> tuple[Sequence[ClipExamples | StillExamples], str]:
        """Return images at the height and width of each entry of `clips`, and their fingerprint.

        The fingerprint is "" if they are frames of the videos.
        """
        if not 0 <= self.image_fraction < 1:
            raise ConfigError(
                f"data.image_fraction={self.image_fraction} must be at least 0 and below 1"
            )
        if not self.image_fraction:
            if self.image_source or self.image_path:
                raise ConfigError(
                    "data.image_source and data.image_path do nothing without data.image_fraction"
                )
            return [], ""
        if not self.image_source:
            return [one.with_clip(Clip(1)) for one in clips], ""
        after = sum(map(len, clips))
        stills, opened = [], {}
        # A source that takes image_size makes images of that size; others are opened only once.
        sized = "image_size" in sources.arguments_of(self.image_source, where="data.image_source")
        for one in clips:
            size = max(one.window.height, one.window.width) if sized else 0
            if size not in opened:
                opened[size] = self._open_images(size)
            stills.append(StillExamples(opened[size], one.window, after))
        return stills, stills[0].source.fingerprint

    def _open_images(self, image_size: int) -> Any:
        return sources.open_source(
            self.image_source,
            self.image_path,
            modality="image",
            key="data.image_path",
            where="data.image_source",
            split="train",
            image_size=image_size,
        )

    def _stream_settings(self) -> list[Any]:
        """Return the settings of clips that change the stream of examples."""
        return [
            self.image_size,
            self.num_frames,
            self.fps,
            self.stride,
            self.short,
            self.clips_per_video,
            self._shapes,
            self.crop,
            self.resize,
            self.flip,
            # Only if it is set, so that older datasets keep their fingerprints.
            *([f"num_crops={self.num_crops}"] if self.num_crops else []),
        ]


def _nearest_shapes(source: VideoSource, shapes: Sequence[Shape]) -> Int[np.ndarray, " n"]:
    """Return the number of the shape with the nearest aspect ratio, for each video.

    A video that cannot be opened gets the first shape, and is reported when its turn comes.
    """
    if len(shapes) == 1:
        return np.zeros(len(source), int)
    ratios = np.log([height / width for height, width in shapes])

    def choose(index: int) -> int:
        try:
            video = source[index]
            # An array has a size.
            size = source.size(index) or size_of(video.data)  # type: ignore[arg-type]
        except Unreadable:
            return 0
        return int(np.abs(ratios - np.log(size[0] / size[1])).argmin())

    with ThreadPoolExecutor(_PROBES) as pool:
        return np.array(list(pool.map(choose, range(len(source)))))


def _mixed(clips: Sequence[Any], stills: Sequence[Any], image_fraction: float | int) -> Mix[Any]:
    """Mix shapes in proportion to their numbers of clips, and stills of a shape with its clips."""
    counts = [len(examples) for examples in clips]
    of_clips = [(1 - image_fraction) * n for n in counts]
    of_stills = [image_fraction * n for n in counts]
    return Mix([*clips, *stills], [*of_clips, *of_stills] if stills else of_clips)
