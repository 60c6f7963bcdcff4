"""Errors of Orbax and of the file system, in one line."""

import contextlib
import os
import re
from collections.abc import Iterator

from pipeline.core.errors import DamagedCheckpoint, StrataError, one_line
from pipeline.storage.paths import Path


@contextlib.contextmanager
def raise_as_damage(path: Path) -> Iterator[None]:
    """Raise DamagedCheckpoint, with the reason, for any error while the checkpoint is read."""
    try:
        yield
    except Exception as error:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """Return the system's error message, if any, or else the beginning of the library's."""
    text = one_line(error)
    if isinstance(error, StrataError):
        return text
    system = re.search(r"os_error_code\W+(\d+)", text)
    if system:
        return os.strerror(int(system.group(1)))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if error.__cause__ is not None:
        return reason(error.__cause__)
    return f"{type(error).__name__}: {text.split(' [tensorstore_spec')[0][:300]}"
