"""Copies between local disks and buckets, for what cannot be read or written in place."""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.core import progress
from pipeline.core.errors import ConfigError, DataError, StrataError
from pipeline.storage import buckets
from pipeline.storage.paths import AnyPath, Path, as_path, is_remote, sizes
from pipeline.storage.patience import patiently

CACHE = "STRATA_CACHE"  # environment variable: the folder of local copies
_AT_ONCE = 8  # downloads


def local_copy(
    path: AnyPath,
    *,
    name: str = "",
    wanted: Callable[[str], bool] = lambda name: True,
    verify: Callable[[str, pathlib.Path], None] = lambda name, file: None,
) -> pathlib.Path:
    """Return a local file or folder with the content of one that may be in a bucket.

    Local paths are returned as they are. Objects are downloaded into a cache, whose files are kept
    while the object has the same size and version, so that the next call only lists the bucket.
    Files that are not in the bucket any more are removed from the copy. The processes of a host
    download one after another, so that the first one works for all.

    Args:
      name: what the path is, for messages.
      wanted: whether to download the file of a relative name in a folder.
      verify: called with the relative name and the path of every new file; its error removes it.

    Raises:
      ConfigError: see `as_path`.
      DataError: there is nothing at the path, it cannot be read, or the disk is too small.
    """
    if not is_remote(path):
        return pathlib.Path(path)
    remote = as_path(path, name=name)
    text = os.fspath(remote)
    where = f"{name} {text}".strip()
    target = _cache() / hashlib.sha256(text.encode()).hexdigest()[:16] / remote.name
    try:
        found = buckets.objects(remote)
        if not found:
            raise DataError(f"{where}: there is no such file or folder")
        files = {each: info for each, info in found.items() if not each or wanted(each)}
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent / ".lock"):
            _remove_others(target, found)
            _download_all(remote, target, files, where, verify)
    except OSError as error:
        place = "" if str(error.filename).startswith(text) else f"{error.filename}: "
        raise DataError(f"{where}: {place}{error.strerror or error}") from None
    return target


@contextlib.contextmanager
def temporary_copy(path: AnyPath, *, name: str = "") -> Iterator[pathlib.Path]:
    """Give a local file with the content of one that may be in a bucket, for a short time.

    A local path is given itself. Errors raised inside name the file in the bucket.

    Raises:
      DataError: there is no such file, or no permission to read it.
    """
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    remote = as_path(path, name=name)
    fs, text = buckets.of(remote)
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        local = pathlib.Path(folder) / remote.name
        try:
            patiently(lambda: fs.get_file(text, os.fspath(local)), text)
        except (FileNotFoundError, PermissionError) as error:
            raise DataError(f"{text}: {error.strerror}") from None
        with named(local, path):
            yield local


@contextlib.contextmanager
def named(local: pathlib.Path, path: AnyPath) -> Iterator[None]:
    """Let errors raised inside name `path`, if it is in a bucket, instead of its copy `local`."""
    try:
        yield
    except StrataError as error:
        if not is_remote(path):
            raise
        text = str(error).replace(os.fspath(local), os.fspath(path).rstrip("/"))
        raise type(error)(text) from error


@contextlib.contextmanager
def written_folder(path: AnyPath, *, last: str = "", name: str = "") -> Iterator[pathlib.Path]:
    """Give a local folder to write into; at the end, without an error, it is in place.

    A local path is given itself. For a bucket it is a temporary folder, whose files are uploaded
    at the end, the one called `last` after all others: a reader that finds it finds them all. An
    older one of this name is deleted first.

    Raises:
      ConfigError: the bucket does not take the files.
    """
    if not is_remote(path):
        yield pathlib.Path(path)
        return
    remote = as_path(path, name=name)
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        yield pathlib.Path(folder)
        names = sorted(sizes(Path(folder)), key=lambda each: (each == last, each))
        with _failures_as_config_errors(name):
            if last in names:
                (remote / last).unlink(missing_ok=True)
            for each in names:
                upload(pathlib.Path(folder) / each, remote / each)


def write_files(path: AnyPath, files: Sequence[tuple[str, bytes]], *, name: str = "") -> None:
    """Write files (name, content) into a folder, each completely or not at all, in this order.

    The folder is created if need be. `name` is what messages call it.

    Raises:
      ConfigError: the folder cannot be written.
    """
    try:
        # The last one comes last, so that a reader that finds it finds them all.
        with written_folder(path, last=files[-1][0], name=name) as root:
            root.mkdir(parents=True, exist_ok=True)
            for each, content in files:
                _replace(root / each, content)
    except OSError as error:
        raise ConfigError(f"{name} {path}: {error.strerror}") from None


def _replace(file: pathlib.Path, content: bytes) -> None:
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def written_file(path: AnyPath, *, name: str = "") -> Iterator[pathlib.Path]:
    """Give a local file name to write; at the end, without an error, the file is in place.

    Folders above it are made.

    Raises:
      ConfigError: the bucket does not take the file.
    """
    if not is_remote(path):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        yield pathlib.Path(path)
        return
    remote = as_path(path, name=name)
    with tempfile.TemporaryDirectory(prefix="strata-") as folder:
        local = pathlib.Path(folder) / remote.name
        yield local
        with _failures_as_config_errors(name):
            upload(local, remote)


def upload(local: pathlib.Path, remote: Path) -> None:
    """Copy a local file to a bucket, in parts if it is large; it appears whole or not at all."""
    fs, text = buckets.of(remote)
    patiently(lambda: fs.put_file(os.fspath(local), text), text)


@contextlib.contextmanager
def _failures_as_config_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{name} {error.filename}: {error.strerror}".strip()) from None


def _download_all(
    remote: Path,
    target: pathlib.Path,
    files: Mapping[str, dict[str, Any]],
    where: str,
    verify: Callable[[str, pathlib.Path], None],
) -> None:
    """Download the files that are missing or of another version, several at a time."""
    missing = {
        each: info for each, info in files.items() if not _is_current(_local(target, each), info)
    }
    total = sum(info["size"] for info in missing.values())
    free = shutil.disk_usage(target.parent).free
    if total > free:
        raise DataError(
            f"{where}: {total / 1e9:.1f} GB must be copied to {_cache()}, which has "
            f"{free / 1e9:.1f} GB free: set {CACHE} to a folder on a larger disk"
        )

    def one(each: str) -> int:
        source = remote / each if each else remote
        _download(source, missing[each], _local(target, each), lambda file: verify(each, file))
        return missing[each]["size"]

    with (
        progress.task(f"copying {where}", total // 10**6, "MB") as copying,
        concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        copied = 0
        running = [pool.submit(one, each) for each in missing]
        try:
            for each in concurrent.futures.as_completed(running):
                copied += each.result()
                copying.update(copied // 10**6)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _download(
    source: Path,
    info: dict[str, Any],
    target: pathlib.Path,
    verify: Callable[[pathlib.Path], None],
) -> None:
    fs, text = buckets.of(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        patiently(lambda: fs.get_file(text, os.fspath(partial)), text)
        size = partial.stat().st_size
        if size != info["size"]:
            raise DataError(f"{text}: {size} of its {info['size']} bytes arrived: try again")
        verify(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _mark(target).write_text(buckets.version_of(info))


def _local(target: pathlib.Path, name: str) -> pathlib.Path:
    return target / name if name else target


def _is_current(target: pathlib.Path, info: dict[str, Any]) -> bool:
    try:
        whole = target.stat().st_size == info["size"]
        return whole and _mark(target).read_text() == buckets.version_of(info)
    except OSError:
        return False


def _mark(target: pathlib.Path) -> pathlib.Path:
    """Return the file with the version of a local copy."""
    return target.with_name(f".{target.name}.version")


def _remove_others(target: pathlib.Path, names: Iterable[str]) -> None:
    """Delete what has other names from a copy, and a file in place of a folder or the reverse."""
    kept = {_local(target, each) for each in names}
    kept |= {_mark(each) for each in kept}
    if target.is_dir() and target not in kept:
        for path in target.rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    elif target not in kept:
        target.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(file: pathlib.Path) -> Iterator[None]:
    """Keep other processes of this host out meanwhile, where the file system has locks."""
    with file.open("a") as opened:
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _cache() -> pathlib.Path:
    folder = os.environ.get(CACHE)
    if folder:
        return pathlib.Path(folder)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(home) / "strata" / "buckets"
