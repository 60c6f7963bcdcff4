"""Buckets as a backend of etils.epath: fsspec's clients, with deadlines and retries.

etils.epath uses TensorFlow for gs:// and s3:// wherever it is installed, which starts slowly, has
no S3, and cannot be pointed at another address. `install` replaces that by gcsfs and s3fs. Orbax
makes its paths by etils.epath as well, so this serves its metadata too; its arrays go through
TensorStore.

Credentials and addresses come from the environment, as the clients document:
GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`, STORAGE_EMULATOR_HOST;
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_ENDPOINT_URL.
"""

import functools
import io
import logging
import os
import uuid
from collections.abc import Collection, Iterator
from typing import Any

from etils.epath import backend as epath_backends
from etils.epath import gpath

from pipeline.storage.patience import patiently

CONNECT_S = 10  # until a server accepts a connection
SILENT_S = 20  # without a byte of an answer


@functools.cache
def install() -> None:
    """Make etils.epath reach buckets by gcsfs and s3fs, with timeouts; listings are not cached."""
    # gcsfs would ask for each bucket's kind over gRPC first, and wait 60 s where that is closed.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    os.environ.setdefault("TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS", str(CONNECT_S))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", str(SILENT_S))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", "1")
    # They log the traceback of every failed request; we report failures in one line.
    for name in ("gcsfs", "s3fs", "fsspec", "aiobotocore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    backend = _Buckets()
    gpath._PREFIX_TO_BACKEND.update({"gs": backend, "s3": backend})
    gpath._is_tf_installed = lambda: False


@functools.cache
def client(scheme: str) -> Any:
    """Return fsspec's file system of "gs" or "s3"."""
    import fsspec

    if scheme == "gs":
        import aiohttp

        silent = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        return fsspec.filesystem("gcs", use_listings_cache=False, requests_timeout=silent)
    config = {
        "connect_timeout": CONNECT_S,
        "read_timeout": SILENT_S,
        "retries": {"mode": "standard", "max_attempts": 4},
    }
    return fsspec.filesystem("s3", use_listings_cache=False, config_kwargs=config)


def of(path: Any) -> tuple[Any, str]:
    """Return the client of a path in a bucket, and the path as text."""
    text = os.fspath(path)
    return client(text.partition("://")[0]), text


def objects(path: Any) -> dict[str, dict[str, Any]]:
    """Return fsspec's information on every object below a folder by its relative name, sorted.

    The name is "" if `path` is an object itself. There are none if nothing is at the path.
    """
    fs, text = of(path)
    text = text.rstrip("/")
    root = fs._strip_protocol(text)
    found = patiently(lambda: fs.find(text, detail=True), text)
    return {
        key[len(root) :].strip("/"): info
        for key, info in sorted(found.items())
        # Consoles mark an empty folder by an object whose name ends in a slash.
        if (key == root or key.startswith(f"{root}/")) and not key.endswith("/")
    }


def versions(folder: Any) -> dict[str, str]:
    """Return the version of each object in a folder, not below it, by name."""
    fs, text = of(folder)
    found = patiently(lambda: fs.ls(text, detail=True), text)
    return {info["name"].rpartition("/")[2]: version_of(info) for info in found}


def version_of(info: dict[str, Any]) -> str:
    """Return a text that changes whenever the content of an object does."""
    version = str(info.get("generation") or info.get("ETag") or info.get("etag") or "")
    return f"{info['size']} {version}"


def contents(folder: Any, names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of small objects of a folder by name, read side by side."""
    if not names:
        return {}
    fs, text = of(folder)
    keys = {name: f"{fs._strip_protocol(text).rstrip('/')}/{name}" for name in names}
    found = patiently(lambda: fs.cat(list(keys.values())), text)
    return {name: found[key] for name, key in keys.items()}


def modified(info: dict[str, Any]) -> float:
    """Return the time of an object in seconds since 1970."""
    return (info.get("mtime") or info["LastModified"]).timestamp()


def touched(path: Any) -> tuple[float, str]:
    """Return the time of an object, and a text that changes whenever it is touched.

    Raises:
      FileNotFoundError: there is no such object.
    """
    fs, text = of(path)
    info = patiently(lambda: fs.info(text), text)
    return modified(info), f"{version_of(info)} {info.get('metageneration', '')}"


def touch(path: Any) -> None:
    """Set the time of an object to now, on the server, without changing or creating it.

    Raises:
      FileNotFoundError: there is no such object.
    """
    fs, text = of(path)
    stamp = uuid.uuid4().hex
    if text.startswith("gs://"):
        patiently(lambda: fs.setxattrs(text, touched=stamp), text)
        return
    bucket, key, _ = fs.split_path(text)
    options = dict(MetadataDirective="REPLACE", Metadata={"touched": stamp})
    source = dict(Bucket=bucket, Key=key)
    patiently(
        lambda: fs.call_s3("copy_object", **source, CopySource=source, **options),
        text,
    )


def create(path: Any, content: bytes) -> bool:
    """Create an object; return False if there already is one, checked by the server."""
    fs, text = of(path)
    try:
        patiently(lambda: fs.pipe_file(text, content, mode="create"), text)
    except FileExistsError:
        # The answer to an attempt that succeeded can be lost, and then the retry finds its object.
        return patiently(lambda: fs.cat_file(text), text) == content
    return True


class _Buckets(epath_backends._FileSystemSpecBackend):
    """fsspec's backend of etils.epath with retries, and with errors that name the cause.

    Files are read and written whole, which suits the small files of a run; arrays and large files
    go through TensorStore and `transfer`.
    """

    def fs(self, path: Any) -> Any:
        return of(path)[0]

    def open(self, path: Any, mode: str) -> Any:
        fs, text = of(path)
        if "r" in mode:
            content = io.BytesIO(patiently(lambda: fs.cat_file(text), text))
            return content if "b" in mode else io.TextIOWrapper(content, "utf-8")
        if "w" not in mode:
            raise ValueError(f"mode {mode!r}: a file in a bucket is read (r) or written whole (w)")
        return _Upload(fs, text) if "b" in mode else _TextUpload(_Upload(fs, text), "utf-8")

    def exists(self, path: Any) -> bool:
        return self._info(path) is not None

    def isdir(self, path: Any) -> bool:
        info = self._info(path)
        return info is not None and info["type"] == "directory"

    def _info(self, path: Any) -> dict[str, Any] | None:
        # fsspec's own `exists` takes every failure, a broken network too, for an absent file.
        fs, text = of(path)
        try:
            return patiently(lambda: fs.info(text), text)
        except FileNotFoundError:
            return None

    def listdir(self, path: Any) -> list[str]:
        try:
            return patiently(lambda: super(_Buckets, self).listdir(path), path)
        except FileNotFoundError:
            return []  # A folder that `mkdir` has made.

    def glob(self, path: Any) -> list[str]:
        return patiently(lambda: super(_Buckets, self).glob(path), path)

    def walk(self, top: Any, **options: Any) -> Iterator[Any]:
        # fsspec's own silently leaves out the folders that it fails to list.
        raise NotImplementedError("use pipeline.storage.paths.sizes")

    def makedirs(self, path: Any, *, exist_ok: bool = False, mode: int | None = None) -> None:
        pass

    def mkdir(self, path: Any, *, exist_ok: bool = False, mode: int | None = None) -> None:
        pass

    def rmtree(self, path: Any) -> None:
        fs, text = of(path)
        patiently(lambda: fs.rm(text, recursive=True), text)

    def remove(self, path: Any) -> None:
        fs, text = of(path)
        patiently(lambda: fs.rm_file(text), text)

    def stat(self, path: Any) -> Any:
        return patiently(lambda: super(_Buckets, self).stat(path), path)


class _Upload(io.BytesIO):
    """A file in memory that becomes an object when it is closed, unless it is discarded before."""

    def __init__(self, fs: Any, path: str):
        super().__init__()
        self._fs, self._path, self._wanted = fs, path, True

    def discard(self) -> None:
        self._wanted = False

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def close(self) -> None:
        if not self.closed:
            content = self.getvalue()
            super().close()
            if self._wanted:
                patiently(lambda: self._fs.pipe_file(self._path, content), self._path)


class _TextUpload(io.TextIOWrapper):
    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.buffer.discard()  # pyright: ignore[reportAttributeAccessIssue]
        self.close()
