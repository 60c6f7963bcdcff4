"""Where images come from: one file a kind of source."""

from pipeline.construct import nearest
from pipeline.data.sources.base import Part, Source
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.sklearn_images import SklearnImages
from pipeline.errors import ConfigError, DataError

FILES = ("folder", "zip", "records", "arrays")
KINDS = (*FILES, "sklearn_images", "digits")


def open_source(kind: str, path: str) -> Source:
    """Opens one of the kinds that are read from a path; imports only what that kind needs."""
    if not path:
        raise ConfigError(f"data.path is missing: data.source={kind!r} reads from a path")
    if kind == "arrays":
        from pipeline.data.sources.arrays import ArrayFile

        return ArrayFile(path)
    if kind == "folder":
        from pipeline.data.sources.folder import Folder

        return Folder(path)
    if kind == "zip":
        from pipeline.data.sources.archive import Archive

        return Archive(path)
    if kind == "records":
        from pipeline.data.sources.records import Records

        return Records(path)
    raise ConfigError(f"data.source={kind!r} is not known: {nearest(kind, KINDS)}")


def open_split(
    kind: str, path: str, *, eval_path: str, eval_fraction: float | int, image_size: int
) -> tuple[Source, Source | None]:
    """The training source and the one held out for evaluation (None when there is none).

    scikit-learn's photographs have their own division. Otherwise `eval_path` holds another set of the same
    kind, or the fraction `eval_fraction` of the examples, chosen at random once and for all seeds, is kept
    out of training.
    """
    if kind not in KINDS:
        raise ConfigError(f"data.source={kind!r} is not known: {nearest(kind, KINDS)}")
    if kind not in FILES and (path or eval_path):
        raise ConfigError(f"data.source={kind!r} takes no data.path and no data.eval_path")
    if kind == "sklearn_images":
        return SklearnImages(image_size, "train"), SklearnImages(image_size, "eval")
    source = Digits() if kind == "digits" else open_source(kind, path)
    if eval_path:
        return source, open_source(kind, eval_path)
    if not 0 <= eval_fraction < 1:
        raise ConfigError(f"data.eval_fraction={eval_fraction} must be at least 0 and below 1")
    if not eval_fraction:
        return source, None
    held_out = max(1, round(len(source) * eval_fraction))
    if held_out >= len(source):
        raise DataError(
            f"{path or kind} has {len(source)} example: too few to hold some out for evaluation "
            "(set data.eval_path, or data.eval_fraction=0)"
        )
    return Part(source, held_out, len(source)), Part(source, 0, held_out)
