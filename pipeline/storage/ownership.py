"""Ownership of a folder: one process at a time writes there, on a disk or in a bucket.

    owner = claim(folder, name="--out")        # or: with owned(folder, name="--out"):
    owner.check()                              # before anything that is hard to undo
    owner.release()

On local and shared file systems, a second process is refused while the first one lives, see
pipeline.storage.owner_files.

In a bucket, where nobody can tell whether a process lives, the newest start of a run owns the
folder; earlier ones find out and stop. Every start creates the next of owners/000001,
owners/000002, ... The server creates an object only if there is none of that name (GCS:
ifGenerationMatch=0, S3: If-None-Match), so that of two starts at the same moment one is refused. A
run whose number is no longer the highest has been replaced, for example because a scheduler started
it again on other machines while this one was cut off from the network, and must not write any more.
"""

import contextlib
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from pipeline.core.errors import ConfigError
from pipeline.storage import owner_files, processes
from pipeline.storage.owner_files import OwnerFile
from pipeline.storage.paths import AnyPath, Path, as_path, is_remote

FOLDER = "owners"  # in a bucket
LOCAL_FOLDER = owner_files.NAME
NAMES = (FOLDER, LOCAL_FOLDER)


@runtime_checkable
class Claim(Protocol):
    """A claim to a folder."""

    def check(self) -> None:
        """Raise ConfigError if another process has taken the folder over."""
        ...

    def release(self) -> None:
        """Give the folder up; a second call does nothing."""
        ...


def claim(folder: AnyPath, *, name: str) -> Claim:
    """Claim a folder, which is created, for this process.

    Args:
      name: what the folder is, for messages, such as "--workdir".

    Raises:
      ConfigError: another process owns it, or it cannot be written.
    """
    if is_remote(folder):
        return Ownership(as_path(folder, name=name))
    return OwnerFile(pathlib.Path(folder), name=name)


@contextlib.contextmanager
def owned(folder: AnyPath, *, name: str = "--out") -> Iterator[None]:
    """Own a folder of results meanwhile; one in a bucket, to which files come whole, is not owned.

    Raises:
      ConfigError: another process owns it, or it cannot be written.
    """
    if is_remote(folder):
        yield
        return
    owner = OwnerFile(pathlib.Path(folder), name=name)
    try:
        yield
    finally:
        owner.release()


def is_unused(folder: Path) -> bool:
    """Return whether there is no such folder, or nothing in it but the names of owners."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(path.name in NAMES for path in folder.iterdir())


class Ownership:
    """A claim to a folder in a bucket, made when it is constructed.

    Raises:
      ConfigError: another run claimed the folder at the same moment.
    """

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER
        self._number = max(self._numbers(), default=0) + 1
        about = processes.identity() | {"token": uuid.uuid4().hex}
        from pipeline.storage import buckets  # The clients take a second to import.

        if not buckets.create(self._path(self._number), json.dumps(about).encode()):
            raise ConfigError(
                f"{folder} was claimed by another run at the same moment ({self._owner()}): "
                "give each run a folder of its own, or start one at a time"
            )

    def check(self) -> None:
        """Raise ConfigError if a later start has claimed the folder."""
        if max(self._numbers(), default=0) > self._number:
            raise ConfigError(
                f"{self._folder.parent} now belongs to a run that started later "
                f"({self._owner()}); this one stops and writes nothing more"
            )

    def release(self) -> None:
        """Do nothing: the number stays, and the next start takes a higher one."""

    def _numbers(self) -> list[int]:
        return [int(path.name) for path in self._folder.iterdir() if path.name.isdigit()]

    def _owner(self) -> str:
        try:
            about = json.loads(self._path(max(self._numbers())).read_text())
            return f"process {about['process']} on {about['host']} since {about['time']}"
        except (OSError, ValueError, KeyError):
            return "unknown"

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}"
