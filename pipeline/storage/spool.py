"""A local folder whose files are kept in a bucket: for logs, to which a bucket cannot append.

Everything a run writes next to its checkpoints is written here first. A thread uploads whole files
that have changed, at intervals; `publish` uploads all of them at once, before a checkpoint is
completed and at the end. A process that is killed loses what it logged since the last upload, but
nothing from before its last checkpoint.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable

from pipeline.core.errors import ConfigError
from pipeline.core.notices import notice
from pipeline.storage import processes, transfer
from pipeline.storage.paths import Path
from pipeline.storage.patience import PATIENCE_S, patience

INTERVAL_S = 30.0
_BYTES_PER_S = 1e6  # A growing file is uploaded so seldom that it takes no more than this.
_PREFIX = "strata-spool-"


class Spool:
    """Files in `folder`, a new temporary folder, that are also in `remote`.

    A failed upload is reported once on standard error, and tried again at the next interval.
    `check()` is called before every upload; nothing is uploaded after it has raised ConfigError.
    """

    def __init__(
        self,
        remote: Path,
        *,
        check: Callable[[], None] = lambda: None,
        interval_s: float = INTERVAL_S,
    ):
        _remove_abandoned()
        self.remote, self._check, self._interval = remote, check, interval_s
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-"))
        self._uploaded: dict[str, tuple[int, int, float]] = {}  # size, mtime_ns, when
        self._failing = False
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def fetch(self, names: Iterable[str]) -> None:
        """Download those of the files that exist."""
        for name in names:
            target = self.folder / name
            try:
                content = (self.remote / name).read_bytes()
            except FileNotFoundError:
                continue
            target.write_bytes(content)
            self._uploaded[name] = (*_version(target), time.monotonic())

    def start(self) -> None:
        """Start to upload changes in the background."""
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def publish(self, *, patience_s: float = PATIENCE_S) -> None:
        """Upload every change and deletion now.

        Raises:
          OSError: the bucket failed for longer than `patience_s`. ConfigError: `check` refused.
        """
        with patience(patience_s):
            self._upload(everything=True)

    def close(self, *, patience_s: float = PATIENCE_S) -> None:
        """Upload what is left, stop the thread and delete the local folder.

        If the bucket fails, the local folder is kept and reported.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.publish(patience_s=patience_s)
        except (OSError, ConfigError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            notice(f"{self.remote}: {why}; the last logs of this run are in {self.folder}")
            return
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                with patience(self._interval):
                    self._upload(everything=False)
            except ConfigError:
                return  # The next save reports it.
            except OSError as error:
                if not self._failing:
                    notice(f"logs cannot reach {self.remote}: {error.strerror}; the run continues")
                self._failing = True
            else:
                self._failing = False

    def _upload(self, *, everything: bool) -> None:
        with self._lock:
            self._check()
            there = {}
            for path in sorted(self.folder.rglob("*")):
                if path.is_file() and path.suffix != ".partial":
                    there[path.relative_to(self.folder).as_posix()] = path
            for name, path in there.items():
                size, changed = version = _version(path)
                *before, when = self._uploaded.get(name, (None, None, 0.0))
                since = time.monotonic() - when
                if tuple(before) == version or not (everything or since > size / _BYTES_PER_S):
                    continue
                transfer.upload(path, self.remote / name)
                self._uploaded[name] = (size, changed, time.monotonic())
            for name in self._uploaded.keys() - there.keys():
                (self.remote / name).unlink(missing_ok=True)
                del self._uploaded[name]


def _version(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _prefix() -> str:
    """Return the beginning of the names of the folders whose processes are seen from here.

    Containers may share the folder for temporary files, and have their own process numbers.
    """
    return f"{_PREFIX}{hashlib.sha256(processes.machine().encode()).hexdigest()[:8]}-"


def _remove_abandoned() -> None:
    """Delete the folders of processes that were killed."""
    for path in pathlib.Path(tempfile.gettempdir()).glob(f"{_prefix()}*-*"):
        number = path.name.removeprefix(_prefix()).partition("-")[0]
        if number.isdigit() and not processes.exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)
