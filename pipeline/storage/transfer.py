"""Copies between local disks and buckets, for what cannot be read or written in place."""

import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

from pipeline.core.errors import DataError
from pipeline.storage import buckets
from pipeline.storage.paths import AnyPath, Path, as_path, is_remote, sizes
from pipeline.storage.patience import patiently

CACHE = "STRATA_CACHE"  # environment variable: the folder of local copies


def local_copy(
    path: AnyPath, *, name: str = "", wanted: Callable[[str], bool] = lambda name: True
) -> pathlib.Path:
    """Return a local file or folder with the content of one that may be in a bucket.

    Local paths are returned as they are. Objects are downloaded into a cache, whose files are kept
    while the object has the same size and version, so that the next call only lists the bucket.

    Args:
      name: what the path is, for messages.
      wanted: whether to download the file of a relative name in a folder.

    Raises:
      DataError: there is nothing at the path.
    """
    if not is_remote(path):
        return pathlib.Path(path)
    remote = as_path(path, name=name)
    fs, text = buckets.of(remote)
    text = text.rstrip("/")
    root = fs._strip_protocol(text)
    found = {
        key[len(root) :].strip("/"): info
        for key, info in patiently(lambda: fs.find(text, detail=True), text).items()
        if key == root or key.startswith(f"{root}/")
    }
    if not found:
        raise DataError(f"{name} {text}: there is no such file or folder".strip())
    target = _cache() / hashlib.sha256(text.encode()).hexdigest()[:16] / remote.name
    for key, info in found.items():
        if not key or wanted(key):
            _download(fs, info, target / key if key else target)
    return target


@contextlib.contextmanager
def written_folder(path: AnyPath, *, last: str = "", name: str = "") -> Iterator[pathlib.Path]:
    """Give a local folder to write into; at the end, without an error, it is in place.

    A local path is given itself. For a bucket it is a temporary folder, whose files are uploaded
    at the end, the one called `last` after all others: a reader that finds it finds them all.
    """
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    remote = as_path(path, name=name)
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        yield pathlib.Path(folder)
        names = sizes(Path(folder))
        for each in sorted(names, key=lambda each: (each == last, each)):
            upload(pathlib.Path(folder) / each, remote / each)


@contextlib.contextmanager
def written_file(path: AnyPath, *, name: str = "") -> Iterator[pathlib.Path]:
    """Give a local file name to write; at the end, without an error, the file is in place."""
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    remote = as_path(path, name=name)
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        local = pathlib.Path(folder) / remote.name
        yield local
        upload(local, remote)


def upload(local: pathlib.Path, remote: Path) -> None:
    """Copy a local file to a bucket, in parts if it is large; it appears whole or not at all."""
    fs, text = buckets.of(remote)
    patiently(lambda: fs.put_file(os.fspath(local), text), text)


def _download(fs, info: dict, target: pathlib.Path) -> None:
    """Copy an object to a file, unless the file is of the same version."""
    version = str(info.get("generation") or info.get("ETag") or info.get("etag") or "")
    version = f"{info['size']} {version}"
    mark = target.with_name(f".{target.name}.version")
    if target.exists() and mark.exists() and mark.read_text() == version:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    source = info["name"]
    patiently(lambda: fs.get_file(source, os.fspath(partial)), source)
    partial.replace(target)
    mark.write_text(version)


def _cache() -> pathlib.Path:
    folder = os.environ.get(CACHE)
    if folder:
        return pathlib.Path(folder)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(home) / "strata" / "buckets"
