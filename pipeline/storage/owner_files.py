"""The owner of a folder on a local or shared file system: a file that names the process.

    FOLDER/.strata-owner/000001

A process claims a folder by creating the file with the next number, which only one of several can:
the file appears with its content by a hard link, or exclusively where there are no links. Neither
needs locks, which network file systems may lack. It holds the host, the process and its start. The
owner touches it every ten seconds and deletes it at the end.

The owner is gone if its process does not run any more, as seen from the same machine, or if it has
not touched the file for a minute, as seen from others. A file that was touched less than a minute
ago is watched until it is touched again, or the minute is over. Ages are differences of times that
the file server set, so that clocks of hosts do not matter.
"""

import contextlib
import errno
import itertools
import json
import os
import pathlib
import threading
import time
import uuid
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.notices import notice
from pipeline.storage import processes

NAME = ".strata-owner"
REFRESH_S, STALE_S, POLL_S = 10.0, 60.0, 1.0
_ATTEMPTS = 100
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


class OwnerFile:
    """A claim to a folder, which is created, until `release`.

    Args:
      name: what the folder is, for messages, such as "--workdir".
      shown: the folder in messages, if its name is not one that the user gave.

    Raises:
      ConfigError: another process owns the folder, or it cannot be written.
    """

    def __init__(self, folder: pathlib.Path, *, name: str, shown: pathlib.Path | None = None):
        self.folder, self._name = pathlib.Path(folder), f"{name} {shown or folder}".strip()
        self._about = processes.identity() | {"token": uuid.uuid4().hex}
        self._place = self.folder / NAME
        self._made = not self.folder.exists()
        try:
            self._file = self._claimed()
        except OSError as error:
            raise ConfigError(f"{self._name}: {error.strerror or error}") from None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="owner", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise ConfigError if another process, which thinks us dead, has taken the folder over."""
        try:
            about = json.loads(self._file.read_text())
        except FileNotFoundError:
            about = {}
        except (OSError, ValueError):
            return  # a file system that fails for a while
        if about.get("token") != self._about["token"]:
            raise ConfigError(
                f"{self._name} now belongs to {self._others()}, which took this "
                "process for dead; this one stops and writes nothing more"
            )

    def release(self) -> None:
        """Give the folder up; a second call does nothing."""
        if self._stop.is_set() or os.getpid() != self._about["process"]:
            return
        self._stop.set()
        with contextlib.suppress(OSError):
            if _content(self._file).get("token") == self._about["token"]:
                self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: somebody else waits
            self._place.rmdir()
            if self._made:
                self.folder.rmdir()

    def moved(self, folder: pathlib.Path) -> None:
        """Follow the folder to the name that it was given."""
        self.folder, self._place = folder, folder / NAME
        self._file = self._place / self._file.name

    def _claimed(self) -> pathlib.Path:
        """Create the file of this process, once all others are of processes that are gone."""
        for attempt in itertools.count():
            self._place.mkdir(parents=True, exist_ok=True)
            try:
                entries = self._entries()
                for file in entries:
                    self._refuse_if_owned(file)
                number = max((int(file.name) for file in entries), default=0) + 1
                own = self._place / f"{number:06d}"
                if _create(own, json.dumps(self._about)):
                    break
            except FileNotFoundError:  # an owner has removed the folder at its end
                if attempt == _ATTEMPTS:
                    raise
        try:
            # One that was created meanwhile, with a number that had become free, is the owner.
            for file in self._entries():
                if file.name < own.name:
                    self._refuse_if_owned(file)
                    file.unlink(missing_ok=True)
        except ConfigError:
            own.unlink(missing_ok=True)
            raise
        return own

    def _refuse_if_owned(self, file: pathlib.Path) -> None:
        said = False
        first, _ = self._seen(file)
        while True:
            about = _content(file)
            running = processes.is_running(about)
            touched, age = self._seen(file)
            if touched is None or running is False or (running is None and age > STALE_S):
                return
            if running or touched != first:
                raise ConfigError(
                    f"{self._name} is in use by {_described(about)}: wait for it to "
                    "end, or give another folder"
                )
            if not said:
                notice(
                    f"{self._name} was in use by {_described(about)} "
                    f"{max(0.0, age):.0f} s ago: waiting for up to {STALE_S:.0f} s to see whether "
                    "it still runs"
                )
                said = True
            time.sleep(POLL_S)

    def _seen(self, file: pathlib.Path) -> tuple[int | None, float]:
        """Return when a file was touched, in ns of the server's clock, and its age in seconds."""
        probe = self._place / f".{self._about['token']}"
        probe.write_text("")
        now = probe.stat().st_mtime_ns
        probe.unlink(missing_ok=True)
        try:
            with file.open() as opened:  # opening makes a network file system ask the server
                touched = os.fstat(opened.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None, 0.0
        return touched, (now - touched) / 1e9

    def _entries(self) -> list[pathlib.Path]:
        return sorted(file for file in self._place.iterdir() if file.name.isdigit())

    def _others(self) -> str:
        with contextlib.suppress(OSError):
            if found := [file for file in self._entries() if file != self._file]:
                return _described(_content(found[-1]))
        return "another process"

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_S):
            # A file system that fails for a while, or a file that another process has deleted,
            # which `check` reports.
            with contextlib.suppress(OSError):
                os.utime(self._file)


def _create(file: pathlib.Path, content: str) -> bool:
    """Create a file with its content at once; return False if there is one of that name."""
    draft = file.with_name(f".{uuid.uuid4().hex}")
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


def _content(file: pathlib.Path) -> dict[str, Any]:
    """Return what a file says of its process; nothing if it cannot be read or is damaged."""
    try:
        about = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _described(about: dict[str, Any]) -> str:
    if not about:
        return "a process that cannot be read"
    command = f" ({about['command']})" if about.get("command") else ""
    where = f"process {about.get('process')} on {about.get('host')}"
    return f"{where}{command} since {about.get('time')}"
