"""Ownership of a folder: one process at a time writes there, on a disk or in a bucket.

    owner = claim(folder, name="--out")        # or: with owned(folder, name="--out"):
    owner.check()                              # before anything that is hard to undo
    owner.release()

A second process is refused while the first one lives, see pipeline.storage.owner_files.

A run in a bucket is different: its newest start owns the folder, and earlier ones find out and
stop, because a scheduler may start it on other machines while the old ones live but are cut off
from it. Every start creates the next of owners/000001, owners/000002, ... The server creates an
object only if there is none of that name (GCS: ifGenerationMatch=0, S3: If-None-Match), so that of
two starts at the same moment one is refused. A start whose number is no longer the highest has been
replaced, and must not write any more.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from pipeline.core.errors import ConfigError
from pipeline.storage import owner_files, processes
from pipeline.storage.owner_files import OwnerFile
from pipeline.storage.owner_places import described
from pipeline.storage.paths import AnyPath, Path, as_path, is_remote
from pipeline.storage.patience import patience

FOLDER = "owners"  # of a run in a bucket
LOCAL_FOLDER = owner_files.NAME
NAMES = (FOLDER, LOCAL_FOLDER)
_IN_A_HURRY_S = 5.0


@runtime_checkable
class Claim(Protocol):
    """A claim to a folder."""

    def check(self) -> None:
        """Raise ConfigError if another process has taken the folder over."""
        ...

    def release(self) -> None:
        """Give the folder up; a second call does nothing."""
        ...


def claim(folder: AnyPath, *, name: str, run: AnyPath = "") -> Claim:
    """Claim a folder of a run, which is created, for this process.

    Args:
      name: what the folder is, for messages, such as "--workdir".
      run: the run's workdir.

    Raises:
      ConfigError: another process owns it, or it cannot be written.
    """
    if is_remote(folder):
        return Ownership(as_path(folder, name=name), run=run)
    return OwnerFile(folder, name=name)


@contextlib.contextmanager
def owned(folder: AnyPath, *, name: str = "--out") -> Iterator[Claim]:
    """Own a folder of results meanwhile, on a disk or in a bucket.

    Raises:
      ConfigError: another process owns it, or it cannot be written.
    """
    owner = OwnerFile(folder, name=name)
    try:
        yield owner
    finally:
        owner.release()


def is_unused(folder: Path) -> bool:
    """Return whether there is no such folder, or nothing in it but the names of owners."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(path.name in NAMES for path in folder.iterdir())


def refuse_that_of_another_run(folder: AnyPath, *, name: str, run: AnyPath) -> None:
    """Check that a folder in a bucket is not one that another run has claimed and not given up.

    Raises:
      ConfigError: it is.
    """
    path = as_path(folder, name=name)
    about = _newest(path / FOLDER) if is_remote(path) else {}
    theirs = about.get("run")
    if theirs and theirs != _name_of(run) and not about.get("released"):
        raise ConfigError(
            f"{name} {path} is that of the run in {theirs} ({processes.describe(about)}): give "
            f"another folder, or delete {path / FOLDER} if that run has ended"
        )


class Ownership:
    """A claim to a folder of a run in a bucket, made when it is constructed.

    Raises:
      ConfigError: another run claimed the folder at the same moment.
    """

    def __init__(self, folder: Path, *, run: AnyPath = ""):
        self._folder = folder / FOLDER
        self._number = max(_numbers(self._folder), default=0) + 1
        self._about = processes.identity() | {"token": uuid.uuid4().hex}
        if run:
            self._about["run"] = _name_of(run)
        from pipeline.storage import buckets  # The clients take a second to import.

        if not buckets.create(self._path, json.dumps(self._about).encode()):
            raise ConfigError(
                f"{folder} was claimed by another run at the same moment "
                f"({processes.describe(_newest(self._folder))}): "
                "give each run a folder of its own, or start one at a time"
            )

    def check(self) -> None:
        """Raise ConfigError if a later start has claimed the folder."""
        if max(_numbers(self._folder), default=0) > self._number:
            raise ConfigError(
                f"{self._folder.parent} now belongs to a run that started later "
                f"({processes.describe(_newest(self._folder))}); this one stops and writes nothing "
                "more"
            )

    def release(self) -> None:
        """Note that the run has ended; the number stays, and the next start takes a higher one."""
        if self._about.get("released"):
            return
        self._about["released"] = True
        with contextlib.suppress(OSError), patience(_IN_A_HURRY_S):
            self._path.write_text(json.dumps(self._about))

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._number:06d}"


def _numbers(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def _newest(folder: Path) -> dict[str, Any]:
    """Return what the file of the newest start says; nothing if there is none."""
    try:
        return described((folder / f"{max(_numbers(folder)):06d}").read_bytes())
    except (OSError, ValueError):
        return {}


def _name_of(run: AnyPath) -> str:
    """Return one text for all names of a workdir."""
    return os.fspath(run).rstrip("/") if is_remote(run) else os.path.realpath(run)
