"""Retries of calls to a bucket, and what their errors mean."""

import contextlib
import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pipeline.core.errors import one_line

Result = TypeVar("Result")

PATIENCE_S = 60.0  # Time after which a failing call is not tried again.
_LONGEST_PAUSE_S = 8.0
_local = threading.local()


class BucketError(OSError):
    """A failure of a bucket or of the network to it, with a `strerror` of one line."""


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Try failing calls of this thread again for `seconds` only."""
    before = getattr(_local, "seconds", PATIENCE_S)
    _local.seconds = seconds
    try:
        yield
    finally:
        _local.seconds = before


def patiently(call: Callable[[], Result], path: Any) -> Result:
    """Return `call()`, which is repeated with growing pauses while its failures are transient.

    Transient are the HTTP statuses 408, 429 and 5xx, broken connections and slow answers.

    Raises:
      FileNotFoundError, FileExistsError, PermissionError: what the bucket says about `path`.
      BucketError: any other failure, or a transient one that lasts.
    """
    deadline = time.monotonic() + getattr(_local, "seconds", PATIENCE_S)
    pause = 0.1
    while True:
        try:
            return call()
        except Exception as error:
            known = described(error, str(path))
            if not _is_transient(error) or time.monotonic() + pause > deadline:
                raise known from error
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def described(error: Exception, path: str) -> OSError:
    """Return an error of a client as an OSError with errno, one line, and the path."""
    scheme = path.partition("://")[0]
    text, status = _text(error), _status(error)
    if isinstance(error, BucketError):
        return error
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "No such file or directory", path)
    if isinstance(error, FileExistsError):
        return FileExistsError(errno.EEXIST, "File exists", path)
    if _lacks_credentials(error, text, status):
        return PermissionError(errno.EACCES, f"no valid credentials: {_LOGIN[scheme]}", path)
    if isinstance(error, PermissionError) or status in (401, 403) or "Forbidden" in text:
        return PermissionError(errno.EACCES, f"no permission: {_GRANT[scheme]} ({text})", path)
    if _is_transient(error):
        remedy = "check the network, and whether the service is up"
        message = f"the bucket does not answer properly: {remedy} ({text})"
        return BucketError(errno.EIO, message, path)
    return BucketError(errno.EIO, text, path)


_LOGIN = {
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "s3": "run `aws configure`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
_GRANT = {
    "gs": "grant this account roles/storage.objectUser on the bucket",
    "s3": "allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject on the bucket",
}
_NO_LOGIN = ("NoCredentialsError", "DefaultCredentialsError", "RefreshError", "PartialCredentials")


def _lacks_credentials(error: Exception, text: str, status: int | None) -> bool:
    name = type(error).__name__
    return (
        any(sign in name for sign in _NO_LOGIN)
        or "Anonymous caller" in text
        or "Unable to locate credentials" in text
        or any(code in text for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"))
        or status == 401
    )


def _is_transient(error: BaseException | None) -> bool:
    status = _status(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    while error is not None:
        if isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
            return False
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        names = [kind.__name__ for kind in type(error).__mro__]
        # Of aiohttp, requests, botocore and fsspec, which need not be installed. botocore's
        # ConnectionError is not Python's.
        known = {"ClientError", "RequestException", "HTTPClientError", "ConnectionError"}
        if not known.isdisjoint(names):
            return "ClientError" not in names or type(error).__module__.startswith("aiohttp")
        error = error.__cause__
    return False


def _status(error: Any) -> int | None:
    """Return the HTTP status of an error or of its cause."""
    if error is None:
        return None
    code = getattr(error, "code", None) or getattr(error, "status", None)
    response = getattr(error, "response", None)
    if code is None and isinstance(response, dict):  # botocore
        code = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(str(code)) if str(code).isdigit() else _status(error.__cause__)


def _text(error: BaseException) -> str:
    text = one_line(error)[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
