"""The files of a run in its workdir or, for one in a bucket, in a local folder kept in step."""

import contextlib
import os
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.storage import access, ownership, small_files
from pipeline.storage.ownership import Claim
from pipeline.storage.paths import AnyPath, as_path, is_remote
from pipeline.storage.patience import PATIENCE_S
from pipeline.storage.spool import Spool
from pipeline.training import workdir as workdirs
from pipeline.training.monitoring import divergence, goodput

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
# Name, shape, and what happens if it is damaged.
_RECORDS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("env.json", lambda content: isinstance(content, dict), "it is written again"),
    ("goodput.json", goodput.is_record, "goodput is counted from this start on"),
    ("DONE", lambda content: type(content) is int, "it is written again at the end"),
    (
        "skipped_batches.json",
        divergence.is_record,
        "the batches that the newest checkpoint lists are skipped",
    ),
)
_AT_THE_END_S = 900.0
_IN_A_HURRY_S = 10.0
_AT_ONCE_S = 1.0


class RunFolder:
    """The files of a run: `root` as the user gave it, and the local folder `files` to write in.

    For a workdir on a disk both are the same. For a bucket, `files` is a temporary folder of this
    process whose content is uploaded, see pipeline.storage.spool. The first process owns the
    folder, and one elsewhere with the checkpoints, for all processes of the run: no other run
    writes there until `close`, or this one finds out that it was replaced.
    """

    def __init__(self, workdir: str | os.PathLike[str], *, first_process: bool):
        self.root = as_path(workdir, name="--workdir")
        self.files = pathlib.Path(self.root) if not is_remote(self.root) else pathlib.Path()
        self._first_process = first_process
        self._spool: Spool | None = None
        self._claims: list[Claim] = []

    def claim(self, config: Mapping[str, Any], *, force: bool, checkpoints: str = "") -> None:
        """Own the folder on the first process, after checking it; see `workdir.check`.

        The folder of the checkpoints is owned as well, wherever it is: another run may name it.

        Args:
          checkpoints: folder of the checkpoints, if they are elsewhere.

        Raises:
          ConfigError: it holds something else or a run of another config, another process owns it,
            or it cannot be written.
        """
        access.check(self.root, name="--workdir", write=True)
        if checkpoints:
            access.check(checkpoints, name="checkpoint.folder", write=True)
        if not self._first_process:
            return
        workdirs.check(self.root, config, force=force)
        self._claims.append(ownership.claim(self.root, name="--workdir", run=self.root))
        workdirs.check(self.root, config, force=force)  # nobody else writes there from now on
        folder = workdirs.checkpoint_folder(self.root, checkpoints)
        if not _are_same(folder, self.root):
            if not _are_same(folder, workdirs.checkpoint_folder(self.root)):
                ownership.refuse_that_of_another_run(
                    folder, name="checkpoint.folder", run=self.root
                )
            self._claims.append(ownership.claim(folder, name="checkpoint.folder", run=self.root))
        saved, then = self.root / "config.json", "the recipe given is written instead"
        if small_files.mend(saved, workdirs.is_object, then, keep=True) or not saved.exists():
            workdirs.write_config(self.root, config)
        if not is_remote(self.root):
            self._mend()

    def open(self) -> None:
        """Make `files` usable, on every process, once the first one has claimed the folder."""
        if is_remote(self.root):
            self._spool = Spool(self.root, check=self.check)
            self._spool.fetch(_READ_BACK)
            self.files = self._spool.folder
            if self._first_process:
                self._mend()
            self._spool.start()

    def begin(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        files: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write config.json, env.json and other files, and take DONE away, for a run that goes on.

        Args:
          files: content of JSON files of the data, such as its vocabulary, by name.
        """
        workdirs.write_config(self.root, config)
        for name, content in (files or {}).items():
            workdirs.write_json(self.files / name, content)
        workdirs.write_json(self.files / "env.json", environment)
        (self.files / "DONE").unlink(missing_ok=True)

    def _mend(self) -> None:
        """Set the damaged files of earlier starts aside; the logs do so when they are opened."""
        for name, is_right, then in _RECORDS:
            small_files.mend(self.files / name, is_right, then)

    def check(self) -> None:
        """Raise ConfigError, on the first process, if another process has taken over."""
        for claim in self._claims:
            claim.check()

    def publish(self) -> None:
        """Make sure that everything written so far is in place, and that the run is still ours.

        Raises:
          ConfigError: another process has taken over. OSError: the bucket failed.
        """
        if self._spool is not None:
            self._spool.publish()
        else:
            self.check()

    def leave(self, code: int) -> None:
        """End the process at once with an exit code; logs are uploaded if they can be.

        The main thread may be stuck in a collective, so that nothing else can be closed.
        """
        rescue = threading.Thread(target=self._rescue, daemon=True)
        rescue.start()
        rescue.join(2 * _IN_A_HURRY_S)
        os._exit(code)

    def abandon(self, code: int) -> None:
        """End the process at once with an exit code; the next start need not wait for it."""
        release = threading.Thread(target=self._release, daemon=True)
        release.start()
        release.join(_AT_ONCE_S)
        os._exit(code)

    def _rescue(self) -> None:
        with contextlib.suppress(OSError, ConfigError):
            if self._spool is not None:
                self._spool.publish(patience_s=_IN_A_HURRY_S)
        self._release()

    def _release(self) -> None:
        for claim in reversed(self._claims):
            claim.release()

    def close(self, *, finished: bool) -> None:
        """Upload what is left; wait for a failing bucket for long if the run has `finished`."""
        try:
            if self._spool is not None:
                self._spool.close(patience_s=_AT_THE_END_S if finished else PATIENCE_S)
        finally:
            self._release()


def _are_same(one: AnyPath, other: AnyPath) -> bool:
    """Return whether two names are those of one folder."""
    if is_remote(one) or is_remote(other):
        return os.fspath(one).rstrip("/") == os.fspath(other).rstrip("/")
    return os.path.realpath(one) == os.path.realpath(other)
