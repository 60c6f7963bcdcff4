"""Sources of examples: one file each, found by the name that config.data.source gives it.

A file defines:
  MODALITY: a name of pipeline.core.modalities: "image", "video", "vector" or "text".
  create: a class or function that returns an ImageSource, a VideoSource, a VectorSource or a
    TextSource (pipeline.data.source). It takes by name any of these arguments that it needs:
      path, key: the file or folder to read, and the setting that holds it, for messages.
      split: "train" or "eval", if the source has a division of its own.
      image_size: height and width of the examples, in pixels.
      length: number of consecutive frames that a clip spans.
      num_features: number of values of a vector.
  SUFFIXES: optional; suffixes of the single files that it reads, by which `strata data pack` finds
    it.

A path in a bucket is copied to a cache before `create` gets it, as far as the optional function
`wanted(name)` takes the files of a folder. With READS_BUCKETS=True, `create` takes such paths.
"""

import contextlib
import inspect
import os
from collections.abc import Iterator
from typing import Any

from pipeline.core.construct import load, modules_of
from pipeline.core.errors import ConfigError, DataError
from pipeline.core.modalities import MODALITIES
from pipeline.storage.paths import as_path, is_remote

ARGUMENTS = ("path", "key", "split", "image_size", "length", "num_features")


def modality_of(kind: str) -> str:
    """Return the name of a source's modality. Raises ConfigError if the source is unknown."""
    return load(__name__, kind, where="data.source").MODALITY


def by_suffix(modality: str) -> dict[str, str]:
    """Return the sources of a modality that read a single file, by the suffix of the file."""
    found = {}
    for kind in modules_of(__name__):
        module = load(__name__, kind, where="data.source")
        if modality == module.MODALITY:
            found |= dict.fromkeys(getattr(module, "SUFFIXES", ()), kind)
    return found


def arguments_of(kind: str, *, where: str = "data.source") -> tuple[str, ...]:
    """Return the names of a source's arguments; `where` is the setting that names the source."""
    return tuple(inspect.signature(load(__name__, kind, where=where).create).parameters)


def open_source(
    kind: str,
    path: str,
    *,
    modality: str,
    key: str = "data.path",
    where: str = "data.source",
    **settings: Any,
) -> Any:
    """Open the source `kind`; imports only what that kind needs.

    Args:
      path: the file or folder, local or in a bucket; "" for a source that reads none.
      modality: the name of the modality that the source must have.
      key, where: the settings that hold path and kind, for messages.
      **settings: split and the sizes of examples; a source is passed those that it takes.

    Raises:
      ConfigError: an unknown source, one of another modality, or a path where none is read.
      DataError: the path cannot be read.
    """
    module = load(__name__, kind, where=where)
    if modality != module.MODALITY:
        found, wanted = (MODALITIES[name].plural for name in (module.MODALITY, modality))
        raise ConfigError(f"{where}={kind!r} is a source of {found}, not {wanted}")
    arguments = arguments_of(kind, where=where)
    if "path" in arguments and not path:
        raise ConfigError(f"{key} is missing: {where}={kind!r} reads from a path")
    if path and "path" not in arguments:
        raise ConfigError(f"{where}={kind!r} takes no {key}")
    with _readable(path, key, module) as readable:
        given = {"path": readable, "key": key, **settings}
        return module.create(**{name: given[name] for name in arguments})


@contextlib.contextmanager
def _readable(path: str, key: str, module: Any) -> Iterator[str]:
    """Give a path that a source reads; errors raised inside name `path`."""
    if not path or not is_remote(path):
        yield path
        return
    as_path(path, name=key)
    from pipeline.storage import access, transfer  # The clients take a second to import.

    access.check(path, name=key)
    try:
        if getattr(module, "READS_BUCKETS", False):
            yield path
            return
        wanted = getattr(module, "wanted", lambda name: True)
        local = transfer.local_copy(path, name=key, wanted=wanted)
        with transfer.named(local, path):
            yield os.fspath(local)
    except OSError as error:
        raise DataError(f"{key} {path}: {error.strerror or error}") from None
