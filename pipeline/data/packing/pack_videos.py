"""Packs a folder or a list of videos into ArrayRecord shards of short clips with a manifest."""

import contextlib
import fractions
import functools
import hashlib
import io
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.core import progress
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, is_video, walk
from pipeline.data.media.video_file import VideoFile, ends_early
from pipeline.data.packing.cutting import WITHOUT_SOUND, cut
from pipeline.data.records import clip_records, manifest
from pipeline.data.records.clip_records import Packed
from pipeline.data.records.writer import ShardWriter, new_folder
from pipeline.data.source import Video, VideoSource
from pipeline.data.sources import by_suffix, open_source
from pipeline.data.unreadable import Budget, Unreadable, file_of
from pipeline.data.videos.clips import at_moments, since


def has_videos(path: str) -> bool:
    """Return whether a path holds videos: a list of them, or a folder of videos and not of images.

    A .gif counts as what the other files of its folder are.

    Raises:
      ConfigError: a folder has images and videos.
    """
    if not pathlib.Path(path).is_dir():
        return pathlib.PurePath(path).suffix.lower() in by_suffix("video")
    both = set(IMAGE_SUFFIXES) & set(VIDEO_SUFFIXES)
    names = [name for name, _ in walk(path, lambda name: is_image(name) or is_video(name))]
    kinds = {is_video(name) for name in names if pathlib.PurePath(name).suffix.lower() not in both}
    if len(kinds) == 2:
        raise ConfigError(
            f"{path} has images and videos: choose with --kind=images or --kind=videos"
        )
    return kinds == {True}


def pack_videos(
    path: str,
    out: str,
    *,
    clip_seconds: float | int = 10,
    raw: bool = False,
    fps: float | int = 0,
    image_size: int = 0,
    shard_bytes: int = 256 << 20,
    max_unreadable: int = 10,
) -> dict[str, Any]:
    """Write the videos under `path` to the new folder `out`, and return its manifest.

    `out` may be in a bucket, and appears only when it is complete. Videos are cut into clips at
    keyframes, without re-encoding; sound is left out. Every clip is decoded once: clips that fail
    are left out and named in the manifest.

    Args:
      clip_seconds: minimal length of a clip; 0 does not cut.
      raw: store frames, which are much larger and need no decoding.
      fps: frames per second of raw clips; 0 keeps the file's frames.
      image_size: shrink raw frames to this shorter side; 0 keeps their size.
      shard_bytes: approximate size of a shard.
      max_unreadable: maximal number of videos of which clips are left out.

    Raises:
      DataError: the source cannot be used.
      ConfigError: `out` exists, or settings do not go together.
    """
    _check_settings(clip_seconds, raw, fps, image_size, shard_bytes)
    with new_folder(out) as folder:
        kind = by_suffix("video").get(pathlib.PurePath(path).suffix.lower(), "videos")
        source = open_source(kind, path, modality="video", key="SRC")
        writer = ShardWriter(folder, "clips", shard_bytes)
        settings: Any = dict(clip_seconds=clip_seconds, fps=fps, image_size=image_size)
        clips_of = (
            functools.partial(_raw, **settings)
            if raw
            else functools.partial(_encoded, clip_seconds=clip_seconds)
        )
        notes = Notes()
        sizes, unreadable = _write_clips(writer, source, clips_of, max_unreadable, notes)
        if not sizes:
            raise DataError(f"none of the {len(source)} videos can be read; {unreadable[0]}")
        schema = _write_sizes(folder.local, sizes, raw)
        return writer.finish(
            manifest.CLIPS, schema, source.classes, unreadable, remarks=notes.lines()
        )


class Notes:
    """Remarks on videos, each with the number of its videos and the name of the first."""

    def __init__(self):
        self._names: dict[str, tuple[str, int]] = {}  # text -> first name, number of further ones

    def add(self, name: str, text: str) -> None:
        """Note a remark on the video `name`; each remark on a video is noted once."""
        first, more = self._names.get(text, (name, -1))
        self._names[text] = first, more + 1

    def lines(self) -> list[str]:
        """Return one line for each remark."""
        return [
            f"{first}{f' and {more} more' if more else ''}: {text}"
            for text, (first, more) in self._names.items()
        ]


def _check_settings(
    clip_seconds: float | int, raw: bool, fps: float | int, image_size: int, shard_bytes: int
) -> None:
    if clip_seconds < 0 or shard_bytes < 1 or fps < 0 or image_size < 0:
        raise ConfigError(
            "--clip_seconds, --fps and --image_size must be 0 or more, and --shard_mb above 0"
        )
    if not raw and (fps or image_size):
        raise ConfigError(
            "--fps and --image_size go with --raw: encoded clips are stored as they are"
        )
    if raw and not clip_seconds:
        raise ConfigError("--raw needs --clip_seconds above 0: a clip is held in memory")


def _write_clips(
    writer: ShardWriter,
    source: VideoSource,
    clips_of: Callable[..., Iterator[Packed | str]],
    max_unreadable: int,
    notes: Notes,
) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Write the clips of all videos; return their sizes, and "name: reason" of those left out."""
    unreadable, budget = [], Budget(max_unreadable, "videos")
    sizes: list[tuple[int, int, int]] = []
    for index in progress.track(range(len(source)), "packing", len(source), "videos"):
        note = functools.partial(notes.add, source.name(index))
        for packed in _named(clips_of(source[index], note=note), source, index):
            if isinstance(packed, str):
                unreadable.append(packed)
                budget.add(file_of(source, index), packed)
                continue
            writer.write(clip_records.to_bytes(packed))
            sizes.append(packed.size)
    return sizes, unreadable


def _write_sizes(
    folder: pathlib.Path, sizes: list[tuple[int, int, int]], raw: bool
) -> dict[str, Any]:
    """Write the sizes of the clips, and return the manifest's schema with their hash."""
    content = _npy(np.array(sizes, np.int32))
    (folder / clip_records.SIZES).write_bytes(content)
    shape = [*sizes[0], 3] if raw and len(set(sizes)) == 1 else None
    schema = {"encoding": "raw" if raw else "encoded", "shape": shape}
    return schema | {"sizes": hashlib.sha256(content).hexdigest()}


def _named(made: Iterator[Packed | str], source: VideoSource, index: int) -> Iterator[Packed | str]:
    """Yield clips, and "name: reason" for those that cannot be read."""
    try:
        for packed in made:
            yield f"{source.name(index)}: {packed}" if isinstance(packed, str) else packed
    except Unreadable as error:
        yield f"{source.name(index)}: {error}"


def _encoded(
    video: Video, clip_seconds: float | int, note: Callable[[str], None]
) -> Iterator[Packed | str]:
    assert isinstance(video.data, str)
    for piece in cut(video.data, video.begin, video.end, clip_seconds, note):
        if isinstance(piece, str):
            yield piece
        else:
            yield Packed(Video(piece.data, video.label, piece.begin, piece.end), piece.size)


def _raw(
    video: Video,
    clip_seconds: float | int,
    fps: float | int,
    image_size: int,
    note: Callable[[str], None],
) -> Iterator[Packed | str]:
    assert isinstance(video.data, str)
    with VideoFile(video.data, video.begin, video.end) as file:
        rate = fractions.Fraction(fps).limit_denominator(10_000) if fps else file.rate
        frames = since(file.frames_from(file.begin), file.begin + file.rounding)
        if fps:
            frames = at_moments(frames, file.begin, 1 / rate / file.tick, file.rounding)
        length = max(1, round(clip_seconds * rate))
        clip: list[np.ndarray] = []
        kept = 0
        for frame in frames:
            kept += 1
            clip.append(_shrunk(frame, image_size))
            if len(clip) == length:
                yield _stacked(clip, video.label, float(rate))
                clip = []
        if clip:
            yield _stacked(clip, video.label, float(rate))
        for text in [*file.notes(), *([WITHOUT_SOUND] if file.sounds else [])]:
            note(text)
        if file.trouble:
            yield f"ends early, after {kept} frames, which are kept: {file.trouble}"
        elif video.end == math.inf:
            for text in ends_early(video.data):
                note(text)


def _stacked(clip: list[np.ndarray], label: int, rate: float) -> Packed:
    if len({frame.shape for frame in clip}) > 1:
        raise Unreadable("its frames change in size")
    frames = np.stack(clip)
    return Packed(
        Video(frames, label, 0.0, math.inf, rate),
        (frames.shape[0], frames.shape[1], frames.shape[2]),
    )


def _shrunk(frame: Any, image_size: int) -> np.ndarray:
    height, width = frame.size
    scale = image_size / min(height, width) if image_size else 1.0
    if scale >= 1:
        return frame.pixels(height, width)
    return frame.pixels(
        max(image_size, round(height * scale)), max(image_size, round(width * scale))
    )


def _npy(array: np.ndarray) -> bytes:
    with contextlib.closing(io.BytesIO()) as file:
        np.save(file, array)
        return file.getvalue()
