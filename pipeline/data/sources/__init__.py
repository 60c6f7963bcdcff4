"""Where images and videos come from: one file a kind of source."""

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError, DataError
from pipeline.data.source import Source, Subset
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.sklearn_images import SklearnImages
from pipeline.data.video_source import VideoSource, VideoSubset

FILES = ("folder", "zip", "records", "arrays")
KINDS = (*FILES, "sklearn_images", "digits")
VIDEO_FILES = ("videos", "video_list", "clips")
VIDEO_KINDS = (*VIDEO_FILES, "moving_crops")


def open_source(
    kind: str, path: str, *, key: str = "data.path", kind_key: str = "data.source"
) -> Source:
    """Opens one of the kinds that are read from a path; imports only what that kind needs.

    `key` and `kind_key` are what path and kind are called in messages.
    """
    if not path:
        raise ConfigError(f"{key} is missing: {kind_key}={kind!r} reads from a path")
    if kind == "arrays":
        from pipeline.data.sources.arrays import ArrayFile

        return ArrayFile(path, key)
    if kind == "folder":
        from pipeline.data.sources.folder import Folder

        return Folder(path, key)
    if kind == "zip":
        from pipeline.data.sources.zip import Archive

        return Archive(path, key)
    if kind == "records":
        from pipeline.data.sources.records import Records

        return Records(path, key)
    raise ConfigError(f"{kind_key}={kind!r} is not known: {nearest(kind, KINDS)}")


def open_split(
    kind: str, path: str, *, eval_path: str, eval_fraction: float | int, image_size: int
) -> tuple[Source, Source | None]:
    """The training source and the one held out for evaluation (None when there is none).

    scikit-learn's photographs have their own division. Otherwise `eval_path` holds another set of the same
    kind, or the fraction `eval_fraction` of the examples, chosen at random once and for all seeds, is kept
    out of training.
    """
    if kind not in KINDS:
        raise ConfigError(
            f"data.source={kind!r} is not known: {nearest(kind, (*KINDS, *VIDEO_KINDS))}"
        )
    if kind not in FILES and (path or eval_path):
        raise ConfigError(f"data.source={kind!r} takes no data.path and no data.eval_path")
    if kind == "sklearn_images":
        return SklearnImages(image_size, "train"), SklearnImages(image_size, "eval")
    source = Digits() if kind == "digits" else open_source(kind, path)
    if eval_path:
        return source, open_source(kind, eval_path, key="data.eval_path")
    held_out = _held_out(len(source), eval_fraction, path or kind)
    return (
        (Subset(source, held_out, len(source)), Subset(source, 0, held_out))
        if held_out
        else (source, None)
    )


def open_video_source(kind: str, path: str, *, key: str = "data.path") -> VideoSource:
    """The same for videos."""
    if not path:
        raise ConfigError(f"{key} is missing: data.source={kind!r} reads from a path")
    if kind == "videos":
        from pipeline.data.sources.videos import VideoFolder

        return VideoFolder(path, key)
    if kind == "video_list":
        from pipeline.data.sources.video_list import VideoList

        return VideoList(path, key)
    if kind == "clips":
        from pipeline.data.sources.records import ClipRecords

        return ClipRecords(path, key)
    raise ConfigError(f"data.source={kind!r} is not known: {nearest(kind, VIDEO_KINDS)}")


def open_video_split(
    kind: str,
    path: str,
    *,
    eval_path: str,
    eval_fraction: float | int,
    image_size: int,
    length: int,
) -> tuple[VideoSource, VideoSource | None]:
    """The same for videos, of which moving crops are `length` frames long."""
    if kind not in VIDEO_KINDS:
        raise ConfigError(
            f"data.source={kind!r} is not known: {nearest(kind, (*KINDS, *VIDEO_KINDS))}"
        )
    if kind not in VIDEO_FILES:
        if path or eval_path:
            raise ConfigError(f"data.source={kind!r} takes no data.path and no data.eval_path")
        from pipeline.data.sources.moving_crops import MovingCrops

        return MovingCrops(image_size, length, "train"), MovingCrops(image_size, length, "eval")
    source = open_video_source(kind, path)
    if eval_path:
        return source, open_video_source(kind, eval_path, key="data.eval_path")
    held_out = _held_out(len(source), eval_fraction, path)
    return (
        (VideoSubset(source, held_out, len(source)), VideoSubset(source, 0, held_out))
        if held_out
        else (source, None)
    )


def _held_out(count: int, eval_fraction: float | int, where: str) -> int:
    """How many of `count` examples are kept out of training."""
    if not 0 <= eval_fraction < 1:
        raise ConfigError(f"data.eval_fraction={eval_fraction} must be at least 0 and below 1")
    held_out = max(1, round(count * eval_fraction)) if eval_fraction else 0
    if held_out >= count:
        raise DataError(
            f"{where} has {count} example: too few to hold some out for evaluation "
            "(set data.eval_path, or data.eval_fraction=0)"
        )
    return held_out
