"""The videos of a run: config.data -> batches of uint8 [b t h w c]."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.sources import FILES, KINDS, open_source, open_video_split
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.sklearn_images import SklearnImages
from pipeline.data.unreadable import Unreadable
from pipeline.data.video_source import VideoSource
from pipeline.data.videos.buckets import Shape, shapes_of
from pipeline.data.videos.clip_examples import ClipExamples, StillExamples
from pipeline.data.videos.clips import Clip
from pipeline.data.videos.decode import size_of
from pipeline.data.videos.window import Window

_PROBES = 16  # files opened at a time, to sort them into buckets


class VideoData(Dataset):
    """Clips as batches of uint8 [b t h w 3]; the parameters are the keys of a recipe's config.data.

    Batch k of training is a pure function of (settings, seed, k), its shape included; all examples of a batch have one.

    Args:
      source: "videos" (a folder), "video_list" (.csv, .jsonl), "clips" (from `strata data pack`), "moving_crops".
      path: the folder or file; empty for moving crops.
      image_size: height and width of clips, in pixels. With buckets, what the model and reports are told.
      num_frames: 1 + 4k frames of a clip.
      fps: frames a second of a clip, whatever the file's; 0 takes the file's frames as they come.
      stride: every stride-th of these.
      short: what to do with a video too short for a clip: "skip" counts it as unreadable, "repeat" repeats its last
        frame.
      clips_per_video: examples that each video stands for; training starts each at random in it, and evaluation spreads
        them evenly.
      buckets: heights and widths, [[256, 256], [192, 336]]: each video goes to the one whose shape is nearest its own,
        and a batch is of one of them, each as often as it has videos.
      crop: "random" or "center": which part of the frames; evaluation always takes the centre.
      resize: "shrink" scales the largest such part down and counts smaller videos as unreadable; "fit" also enlarges
        them; "none" takes a part without scaling.
      flip: mirror at random, in training; a whole clip at once.
      image_fraction: share of training batches that are single frames, [b 1 h w 3].
      image_source, image_path: a kind of ImageData's sources to take these from; without it they are frames of the
        videos.
      num_workers: processes that decode ahead; 0 decodes in threads of this one.
      max_unreadable: how many videos may turn out unreadable before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the videos held out for evaluation where there is no eval_path.

    Attributes:
      transform: the Window of one frame: its `shape` is (image_size, image_size, 3).
      fingerprint: sha256 over the training examples and the settings that alter their stream; not the evaluation set.
      classes: names of the labels, or empty.
      unreadable: "name: reason" of each video skipped so far by any iterator of this object.

    Raises:
      ConfigError: a setting that cannot work. DataError: a dataset that cannot be used.
    """

    def __init__(
        self,
        source: str,
        path: str = "",
        *,
        image_size: int,
        num_frames: int,
        fps: float | int = 0,
        stride: int = 1,
        short: str = "skip",
        clips_per_video: int = 1,
        buckets: Sequence[Sequence[int]] = (),
        crop: str = "center",
        resize: str = "shrink",
        flip: bool = False,
        image_fraction: float | int = 0.0,
        image_source: str = "",
        image_path: str = "",
        num_workers: int = 0,
        max_unreadable: int = 10,
        eval_path: str = "",
        eval_fraction: float | int = 0.05,
    ):
        super().__init__(
            "videos", path or source, num_workers=num_workers, max_unreadable=max_unreadable
        )
        clip = Clip(num_frames, fps, stride, short)
        self.transform = Window(image_size, image_size, crop, resize, flip)
        shapes = shapes_of(buckets) or [(image_size, image_size)]
        if clips_per_video < 1:
            raise ConfigError(f"data.clips_per_video={clips_per_video} must be at least 1")
        videos, held_out = open_video_split(
            source,
            path,
            eval_path=eval_path,
            eval_fraction=eval_fraction,
            image_size=image_size,
            length=(num_frames - 1) * stride + 1,
        )
        if source == "moving_crops" and (fps or buckets):
            raise ConfigError(
                "data.source='moving_crops' takes no data.fps and no data.buckets: its clips are square"
            )
        self.classes = videos.classes
        kinds = _kinds(videos, clip, shapes, clips_per_video, self.transform)
        stills = _still_kinds(kinds, image_fraction, image_source, image_path)
        images = "" if not stills or not image_source else stills[0].source.fingerprint
        self._training = _mixed(kinds, stills, image_fraction)
        self._num_clips = sum(map(len, kinds))
        self._held_out = (
            []
            if held_out is None
            else _kinds(
                held_out, clip, shapes, clips_per_video, self.transform.for_evaluation(), even=True
            )
        )
        settings = [
            image_size,
            num_frames,
            fps,
            stride,
            short,
            clips_per_video,
            shapes,
            crop,
            resize,
            flip,
        ]
        self.fingerprint = digest(videos.fingerprint, settings, float(image_fraction), images)
        self._check_readable(kinds[:1], path or source)
        if images:
            self._check_readable(stills[:1], image_path or image_source)
        if eval_path:
            self._check_readable(self._held_out[:1], eval_path)

    @property
    def num_examples(self) -> int:
        """Clips in the training set; the images mixed in are not among them."""
        return self._num_clips


def _kinds(
    source: VideoSource,
    clip: Clip,
    shapes: Sequence[Shape],
    clips_per_video: int,
    window: Window,
    *,
    even: bool = False,
) -> list[ClipExamples]:
    """Examples of each shape that there are videos for."""
    chosen = _chosen(source, shapes)
    kinds = []
    for number, (height, width) in enumerate(shapes):
        members = np.flatnonzero(chosen == number)
        if len(members):
            sized = dataclasses.replace(window, height=height, width=width)
            kinds.append(ClipExamples(source, members, clip, sized, clips_per_video, even=even))
    return kinds


def _chosen(source: VideoSource, shapes: Sequence[Shape]) -> Int[np.ndarray, " n"]:
    """For each video the shape of the nearest proportions; of what cannot be opened, the first: its turn will come."""
    if len(shapes) == 1:
        return np.zeros(len(source), int)
    proportions = np.log([height / width for height, width in shapes])

    def choose(index: int) -> int:
        try:
            video = source[index]
            size = source.size(index) or size_of(video.data)  # type: ignore[arg-type]  # arrays have a size
        except Unreadable:
            return 0
        return int(np.abs(proportions - np.log(size[0] / size[1])).argmin())

    with ThreadPoolExecutor(_PROBES) as pool:
        return np.array(list(pool.map(choose, range(len(source)))))


def _still_kinds(
    kinds: Sequence[ClipExamples], image_fraction: float | int, image_source: str, image_path: str
) -> list[Any]:
    """For each kind of clips, images of the same height and width."""
    if not 0 <= image_fraction < 1:
        raise ConfigError(f"data.image_fraction={image_fraction} must be at least 0 and below 1")
    if not image_fraction:
        if image_source or image_path:
            raise ConfigError(
                "data.image_source and data.image_path do nothing without data.image_fraction"
            )
        return []
    if not image_source:
        frame = Clip(1)
        return [
            ClipExamples(
                kind.source, kind.members, frame, kind.window, kind.clips_per_video, even=False
            )
            for kind in kinds
        ]
    after = sum(map(len, kinds))
    if image_source in FILES:
        images = open_source(
            image_source, image_path, key="data.image_path", kind_key="data.image_source"
        )
    elif image_source == "sklearn_images":
        return [
            StillExamples(SklearnImages(max(k.window.shape[:2]), "train"), k.window, after)
            for k in kinds
        ]
    elif image_source == "digits":
        images = Digits()
    else:
        raise ConfigError(
            f"data.image_source={image_source!r} is not known: {nearest(image_source, KINDS)}"
        )
    return [StillExamples(images, kind.window, after) for kind in kinds]


def _mixed(kinds: Sequence[Any], stills: Sequence[Any], image_fraction: float | int) -> Mix[Any]:
    """Clips as often as there are videos of their shape, and stills of that shape in proportion."""
    share = [len(kind) for kind in kinds]
    of_clips, of_stills = (
        [(1 - image_fraction) * n for n in share],
        [image_fraction * n for n in share],
    )
    return Mix([*kinds, *stills], [*of_clips, *of_stills] if stills else of_clips)
