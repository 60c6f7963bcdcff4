"""Paths of local files and of objects in buckets (gs://, s3://), behind one interface, etils.epath.

A path without a scheme is local. A bucket has no folders, only names with slashes: `mkdir` does
nothing there, a folder exists as long as it holds something, and a file appears whole or not at all
when it is closed, so that a reader never sees half of it.
"""

import errno
import importlib.util
import os
import pathlib
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from etils import epath

from pipeline.core.errors import ConfigError

Path = epath.Path
AnyPath = str | os.PathLike[str]

# scheme -> the client of fsspec that serves it, and the extra of Strata that installs the client
_CLIENTS = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def as_path(text: AnyPath, *, name: str = "") -> Path:
    """Return the path of a local file or folder, or of one in a bucket; nothing is contacted.

    Args:
      text: a local path, gs://BUCKET/NAME or s3://BUCKET/NAME.
      name: what the path is, for messages, such as "--workdir".

    Raises:
      ConfigError: the scheme is not supported, its client is not installed, or the bucket's name is
        missing; or no file can have this name.
    """
    text = os.fspath(text)
    if not _can_be_a_name(text):
        raise ConfigError(f"{name} {text!r} cannot be the name of a file".strip())
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(os.fspath(pathlib.PurePath(text)))  # epath takes any x:// for a scheme
    where = f"{name} {text}".strip()
    if scheme[1] not in _CLIENTS:
        raise ConfigError(
            f"{where}: {scheme[0]} is not supported: give a local path, gs:// or s3://"
        )
    client, extra = _CLIENTS[scheme[1]]
    if importlib.util.find_spec(client) is None:
        raise ConfigError(f"{where} needs {client}: pip install 'strata[{extra}]'")
    if not text[scheme.end() :].strip("/") or text[scheme.end()] == "/":
        raise ConfigError(f"{where} names no bucket: {scheme[0]}BUCKET/NAME is right")
    from pipeline.storage import buckets  # The clients take a second to import.

    buckets.install()
    return Path(text)


def _can_be_a_name(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def is_remote(path: AnyPath) -> bool:
    """Return whether a path is in a bucket."""
    return _SCHEME.match(os.fspath(path)) is not None


class File(NamedTuple):
    """The size in bytes and the time of the last change, in seconds since 1970, of a file."""

    size: int
    modified: float


def files(folder: Path) -> dict[str, File]:
    """Return every file below a folder by its relative name, sorted; a bucket is listed once."""
    if is_remote(folder):
        from pipeline.storage import buckets

        found = buckets.objects(folder).items()
        return {name: File(info["size"], buckets.modified(info)) for name, info in found}
    return dict(_files(folder, ""))


def contents(folder: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of small files of a folder by relative name."""
    if is_remote(folder):
        from pipeline.storage import buckets

        return buckets.contents(folder, names)
    return {name: (folder / name).read_bytes() for name in names}


def sizes(folder: Path) -> dict[str, int]:
    """Return the size in bytes of every file below a folder by its relative name, sorted."""
    return {name: file.size for name, file in files(folder).items()}


def is_number(name: str) -> bool:
    """Return whether a name is a number as we write it, without zeros before it."""
    return re.fullmatch("0|[1-9][0-9]*", name) is not None


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, File]]:
    """Yield files; those that are gone, or behind a broken link, are left out."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{prefix}{entry.name}"
        try:
            if entry.is_dir():
                yield from _files(entry, f"{name}/")
                continue
            status = entry.stat()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            continue
        yield name, File(status.length, float(status.mtime))
