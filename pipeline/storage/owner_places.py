"""Places for the files that name the owners of a folder: on a disk, or in a bucket."""

import contextlib
import errno
import os
import pathlib
import re
import uuid
from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

from pipeline.storage import small_files
from pipeline.storage.paths import Path

NAME = ".strata-owner"
_NUMBER = re.compile("[0-9]+")
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


@runtime_checkable
class Place(Protocol):
    """The files of owners, whose names are numbers of six digits. All methods raise OSError."""

    def numbers(self) -> list[str]:
        """Return the names of the files, lowest first."""
        ...

    def create(self, name: str, content: str) -> bool:
        """Create a file with its content at once; return False if there is one of that name."""
        ...

    def content(self, name: str) -> bytes:
        """Return what a file holds."""
        ...

    def seen(self, name: str) -> tuple[Hashable, float]:
        """Return what changes when a file is touched, None if it is gone, and its age in seconds.

        The age is a difference of two times that the server set.
        """
        ...

    def touch(self, name: str) -> None:
        """Set the time of a file, which must exist, to now."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        ...

    def remove(self) -> None:
        """Remove the folder of the files, if it is empty, and the owned one if we made it."""
        ...


class Disk:
    """Files in `folder`/.strata-owner on a local or shared file system; the folder is created.

    A file appears with its content by a hard link, or exclusively where there are no links.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._place = folder, folder / NAME
        self._made = not folder.exists()

    def numbers(self) -> list[str]:
        self._place.mkdir(parents=True, exist_ok=True)
        return sorted(file.name for file in self._place.iterdir() if _NUMBER.fullmatch(file.name))

    def create(self, name: str, content: str) -> bool:
        file, draft = self._place / name, self._place / f".{uuid.uuid4().hex}"
        try:
            draft.write_text(content)
            try:
                os.link(draft, file)
            except FileExistsError:
                # A request that a server repeats can fail although the first one made the link.
                return draft.stat().st_nlink == 2
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                try:
                    with file.open("x") as opened:
                        opened.write(content)
                except FileExistsError:
                    return False
            return True
        finally:
            draft.unlink(missing_ok=True)

    def content(self, name: str) -> bytes:
        return (self._place / name).read_bytes()

    def seen(self, name: str) -> tuple[Hashable, float]:
        probe = self._place / f".{uuid.uuid4().hex}"
        probe.write_text("")
        now = probe.stat().st_mtime_ns
        probe.unlink(missing_ok=True)
        try:
            # Opening makes a network file system ask the server.
            with (self._place / name).open() as opened:
                touched = os.fstat(opened.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None, 0.0
        return touched, (now - touched) / 1e9

    def touch(self, name: str) -> None:
        os.utime(self._place / name)

    def delete(self, name: str) -> None:
        (self._place / name).unlink(missing_ok=True)

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # not empty: somebody else waits
            self._place.rmdir()
            if self._made:
                self._folder.rmdir()


class Bucket:
    """Objects in `folder`/.strata-owner, which the server creates only if they do not exist."""

    def __init__(self, folder: Path):
        from pipeline.storage import buckets  # The clients take a second to import.

        self._place, self._buckets = folder / NAME, buckets

    def numbers(self) -> list[str]:
        return sorted(path.name for path in self._place.iterdir() if _NUMBER.fullmatch(path.name))

    def create(self, name: str, content: str) -> bool:
        return self._buckets.create(self._place / name, content.encode())

    def content(self, name: str) -> bytes:
        return (self._place / name).read_bytes()

    def seen(self, name: str) -> tuple[Hashable, float]:
        probe = self._place / f"probe-{uuid.uuid4().hex}"
        probe.write_bytes(b"")
        now, _ = self._buckets.touched(probe)
        probe.unlink(missing_ok=True)
        try:
            touched, version = self._buckets.touched(self._place / name)
        except FileNotFoundError:
            return None, 0.0
        return (touched, version), now - touched

    def touch(self, name: str) -> None:
        self._buckets.touch(self._place / name)

    def delete(self, name: str) -> None:
        (self._place / name).unlink(missing_ok=True)

    def remove(self) -> None:
        pass


def described(content: bytes) -> dict[str, Any]:
    """Return what a file says of its process; nothing if it is damaged."""
    try:
        about = small_files.parsed(content)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}
