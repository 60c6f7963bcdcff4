"""A check at the start of a command that a bucket answers, and that we may read or write there."""

import concurrent.futures
import os
import threading
import uuid
from collections.abc import Callable

from pipeline.core.errors import ConfigError
from pipeline.storage import buckets
from pipeline.storage.paths import AnyPath, as_path, is_remote
from pipeline.storage.patience import described, patience, patiently

DEADLINE_S = 20.0
_passed: set[tuple[str, bool]] = set()  # (path, whether to write)


def check(path: AnyPath, *, name: str, write: bool = False) -> None:
    """Check within 30 seconds that a bucket can be read, or written; a local path is not checked.

    A path that has passed is not checked again by this process.

    Args:
      path: a file or folder, which need not exist.
      name: what the path is, for messages, such as "--workdir".
      write: whether to write and delete a small object there.

    Raises:
      ConfigError: there is no such bucket, no permission, no credentials or no answer; or the path
        is not one that `as_path` takes.
    """
    if not is_remote(path):
        return
    text = os.fspath(as_path(path, name=name)).rstrip("/")
    if (text, write) in _passed:
        return
    bucket = "/".join(text.split("/")[:3])
    probe = f"{text}/.strata-probe-{uuid.uuid4().hex}"
    try:
        _within(DEADLINE_S, lambda: _write(probe) if write else _read(bucket, text), text)
    except concurrent.futures.TimeoutError:
        raise ConfigError(
            f"{name} {text}: no answer within {DEADLINE_S:.0f} s: check the network, and that "
            f"{bucket} is reachable from this host"
        ) from None
    except FileNotFoundError:
        raise ConfigError(f"{name} {text}: there is no bucket {bucket}: create it first") from None
    except OSError as error:
        raise ConfigError(f"{name} {text}: {error.strerror}") from None
    _passed.add((text, write))


def _read(bucket: str, text: str) -> None:
    fs, _ = buckets.of(text)
    try:
        fs.info(text)
    except FileNotFoundError:
        fs.ls(bucket)  # A bucket that is there, without the file.


def _write(probe: str) -> None:
    fs, _ = buckets.of(probe)
    fs.pipe_file(probe, b"")
    fs.rm_file(probe)


def _within(seconds: float, call: Callable[[], None], path: str) -> None:
    """Call in a thread, again while it fails, for `seconds`: the clients limit requests only."""
    done: concurrent.futures.Future[None] = concurrent.futures.Future()

    def run() -> None:
        try:
            with patience(seconds):
                patiently(call, path)
        except Exception as error:
            done.set_exception(described(error, path))
        else:
            done.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    done.result(seconds)
