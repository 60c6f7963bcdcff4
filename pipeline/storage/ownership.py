"""Ownership of a folder in a bucket by the newest start of a run; earlier ones find out and stop.

Every start creates the next of owners/000001, owners/000002, ... The server creates an object only
if there is none of that name (GCS: ifGenerationMatch=0, S3: If-None-Match), so that of two starts
at the same moment one is refused. A run whose number is no longer the highest has been replaced,
for example because a scheduler started it again on other machines while this one was cut off from
the network, and must not write any more.
"""

import json
import os
import socket
import time
import uuid

from pipeline.core.errors import ConfigError
from pipeline.storage import buckets
from pipeline.storage.paths import Path

FOLDER = "owners"


class Ownership:
    """A claim to a folder in a bucket, made when it is constructed.

    Raises:
      ConfigError: another run claimed the folder at the same moment.
    """

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER
        self._number = max(self._numbers(), default=0) + 1
        about = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "token": uuid.uuid4().hex,
        }
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
