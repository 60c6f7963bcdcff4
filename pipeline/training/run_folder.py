"""The files of a run in its workdir or, for one in a bucket, in a local folder kept in step."""

import contextlib
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.storage import access
from pipeline.storage.ownership import Ownership
from pipeline.storage.paths import as_path, is_remote
from pipeline.storage.patience import PATIENCE_S
from pipeline.storage.spool import Spool
from pipeline.training import workdir as workdirs

# What a start reads of earlier ones; pictures and TensorBoard's files are only added to.
_READ_BACK = (
    "config.json",
    "env.json",
    "metrics.jsonl",
    "speed.jsonl",
    "incidents.jsonl",
    "goodput.json",
    "skipped_batches.json",
    "train.log",
    "DONE",
)
_AT_THE_END_S = 900.0
_IN_A_HURRY_S = 10.0


class RunFolder:
    """The files of a run: `root` as the user gave it, and the local folder `files` to write in.

    For a workdir on a disk both are the same, and nothing else happens. For a bucket, `files` is a
    temporary folder of this process whose content is uploaded, see pipeline.storage.spool, and the
    first process makes sure that no later start of the run has replaced it.
    """

    def __init__(self, workdir: str | os.PathLike[str], *, first_process: bool):
        self.root = as_path(workdir, name="--workdir")
        self.files = pathlib.Path(self.root) if not is_remote(self.root) else pathlib.Path()
        self._first_process = first_process
        self._spool: Spool | None = None
        self._ownership: Ownership | None = None

    def claim(self, config: Mapping[str, Any], *, force: bool) -> None:
        """Make the folder this run's, on the first process; see `workdir.claim`.

        Raises:
          ConfigError: it holds something else or a run of another config; or a bucket cannot be
            written, or was claimed by another run at the same moment.
        """
        if not is_remote(self.root):
            if self._first_process:
                workdirs.claim(self.root, config, force=force)
            return
        access.check(self.root, name="--workdir", write=True)
        if self._first_process:
            workdirs.claim(self.root, config, force=force)
            self._ownership = Ownership(self.root)

    def open(self) -> None:
        """Make `files` usable, on every process, once the first one has claimed the folder."""
        if is_remote(self.root):
            self._spool = Spool(self.root, check=self.check)
            self._spool.fetch(_READ_BACK)
            self.files = self._spool.folder
            self._spool.start()

    def check(self) -> None:
        """Raise ConfigError, on the first process, if a run that started later has taken over."""
        if self._ownership is not None:
            self._ownership.check()

    def publish(self) -> None:
        """Make sure that everything written so far is in place, and that the run is still ours.

        Raises:
          ConfigError: a run that started later has taken over. OSError: the bucket failed.
        """
        if self._spool is not None:
            self._spool.publish()

    def leave(self, code: int) -> None:
        """End the process at once with an exit code; logs are uploaded if they can be.

        The main thread may be stuck in a collective, so that nothing else can be closed.
        """
        if self._spool is not None:
            rescue = threading.Thread(target=self._rescue, daemon=True)
            rescue.start()
            rescue.join(2 * _IN_A_HURRY_S)
        os._exit(code)

    def _rescue(self) -> None:
        with contextlib.suppress(OSError, ConfigError):
            assert self._spool is not None
            self._spool.publish(patience_s=_IN_A_HURRY_S)

    def close(self, *, finished: bool) -> None:
        """Upload what is left; wait for a failing bucket for long if the run has `finished`."""
        if self._spool is not None:
            self._spool.close(patience_s=_AT_THE_END_S if finished else PATIENCE_S)
