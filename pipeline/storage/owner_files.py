"""The owner of a folder: a file that names the process.

    FOLDER/.strata-owner/000001

A process claims a folder by creating the file with the next number, which only one of several can,
see pipeline.storage.owner_places. Neither file systems nor buckets need locks for that. It holds
the host, the process and its start. The owner touches it every ten seconds and deletes it at the
end.

The owner is gone if its process does not run any more, as seen from the same machine, or if it has
not touched the file for a minute, as seen from others. A file that was touched less than a minute
ago is watched until it is touched again, or the minute is over. Ages are differences of times that
the server of the files set, so that clocks of hosts do not matter.
"""

import contextlib
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
from pipeline.storage import owner_places, processes
from pipeline.storage.paths import AnyPath, as_path, is_remote

NAME = owner_places.NAME
REFRESH_S, STALE_S, POLL_S = 10.0, 60.0, 1.0
_ATTEMPTS = 100


class OwnerFile:
    """A claim to a folder, which is created, until `release`.

    Args:
      name: what the folder is, for messages, such as "--workdir".
      shown: the folder in messages, if its name is not one that the user gave.

    Raises:
      ConfigError: another process owns the folder, or it cannot be written.
    """

    def __init__(self, folder: AnyPath, *, name: str, shown: AnyPath | None = None):
        self._name = f"{name} {shown or folder}".strip()
        self._about = processes.identity() | {"token": uuid.uuid4().hex}
        self._place = _place(folder)
        try:
            self._number = self._claimed()
        except OSError as error:
            raise ConfigError(f"{self._name}: {error.strerror or error}") from None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="owner", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise ConfigError if another process, which thinks us dead, has taken the folder over."""
        try:
            about = owner_places.described(self._place.content(self._number))
        except FileNotFoundError:
            about = {}
        except OSError:
            return  # a server that fails for a while
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
            if self._content(self._number).get("token") == self._about["token"]:
                self._place.delete(self._number)
        self._place.remove()

    def moved(self, folder: pathlib.Path) -> None:
        """Follow the folder to the name that it was given."""
        self._place = owner_places.Disk(folder)

    def _claimed(self) -> str:
        """Create the file of this process, once all others are of processes that are gone."""
        for attempt in itertools.count():
            try:
                numbers = self._place.numbers()
                for number in numbers:
                    self._refuse_if_owned(number)
                own = f"{max(map(int, numbers), default=0) + 1:06d}"
                if self._place.create(own, json.dumps(self._about)):
                    break
            except FileNotFoundError:  # an owner has removed the folder at its end
                if attempt == _ATTEMPTS:
                    raise
        try:
            # One that was created meanwhile, with a number that had become free, is the owner.
            for number in self._place.numbers():
                if number < own:
                    self._refuse_if_owned(number)
                    self._place.delete(number)
        except ConfigError:
            self._place.delete(own)
            raise
        return own

    def _refuse_if_owned(self, number: str) -> None:
        said = False
        first, _ = self._place.seen(number)
        while True:
            about = self._content(number)
            running = processes.is_running(about)
            touched, age = self._place.seen(number)
            if touched is None or running is False or (running is None and age > STALE_S):
                return
            if running or touched != first:
                raise ConfigError(
                    f"{self._name} is in use by {processes.describe(about)}: wait for it to "
                    "end, or give another folder"
                )
            if not said:
                notice(
                    f"{self._name} was in use by {processes.describe(about)} "
                    f"{max(0.0, age):.0f} s ago: waiting for up to {STALE_S:.0f} s to see whether "
                    "it still runs"
                )
                said = True
            time.sleep(POLL_S)

    def _content(self, number: str) -> dict[str, Any]:
        """Return what a file says of its process; nothing if it cannot be read or is damaged."""
        try:
            return owner_places.described(self._place.content(number))
        except OSError:
            return {}

    def _others(self) -> str:
        with contextlib.suppress(OSError):
            if found := [number for number in self._place.numbers() if number != self._number]:
                return processes.describe(self._content(found[-1]))
        return "another process"

    def _refresh(self) -> None:
        while not self._stop.wait(REFRESH_S):
            # A server that fails for a while, or a file that another process has deleted, which
            # `check` reports.
            with contextlib.suppress(OSError):
                self._place.touch(self._number)


def _place(folder: AnyPath) -> owner_places.Place:
    if is_remote(folder):
        return owner_places.Bucket(as_path(folder))
    return owner_places.Disk(pathlib.Path(folder))
