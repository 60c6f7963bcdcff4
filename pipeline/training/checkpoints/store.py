"""Checkpoints of a run: written by Orbax during training, and verified when they are restored.

    folder/<step>/{params,ema,other,opt_state,counters}, manifest.json

manifest.json is written after Orbax has finished, with a checksum of every array: a step without
one is incomplete and ignored. Steps are independent of one another: a save that fails (a full disk)
damages no other checkpoint. In a bucket the arrays are in <step>/<start>/, a folder of one start of
the run, so that a start that was replaced cannot write into a checkpoint of its successor.
"""

import concurrent.futures
import contextlib
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from pipeline.core import progress
from pipeline.core.errors import CheckpointError, ConfigError, DamagedCheckpoint
from pipeline.core.notices import notice
from pipeline.storage.paths import Path, as_path, is_remote
from pipeline.storage.patience import patience
from pipeline.training.checkpoints import (
    lockstep,
    manifest,
    orbax_buckets,
    orbax_noise,
    probe,
    reading,
)
from pipeline.training.checkpoints.checksum import checksum, is_finite, require_finite
from pipeline.training.checkpoints.host_copy import HostCopy
from pipeline.training.checkpoints.orbax_errors import reason
from pipeline.training.checkpoints.retention import Retention
from pipeline.training.checkpoints.step_folders import StepFolders
from pipeline.training.runtime import cluster_status
from pipeline.training.state.state_tree import (
    Tree,
    flat,
    from_tree,
    to_tree,
    without_empty,
)
from pipeline.training.state.train_state import TrainState

_IN_THE_LOOP_S = 20.0  # Patience with a bucket while training waits.
_BUSY_S = 60.0  # The longest that training waits for an earlier save to a bucket.
_OUTAGE_S = 900.0  # Saves to a bucket are tried for so long.

orbax_noise.silence()


class Checkpoints:
    """The checkpoints in a folder, on a disk or in a bucket (gs://, s3://).

    One save runs at a time, in the background. A save that fails is retried if its data are still
    available: once on a disk, for a quarter of an hour in a bucket. If it fails again, it is
    reported in one line on standard error, and in `failure` until a later save succeeds: older
    checkpoints are intact, and the run can go on. `failures` counts failed saves; `max_failures` in
    a row are an error, in a bucket not before a quarter of an hour. On the first process,
    `check()` is called before anything is deleted, and `before_commit()` before a step is
    completed; both may stop the run by raising ConfigError.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: int = 0,
        keep_every: int = 0,
        best: str = "",
        keep_best: int = 1,
        max_failures: int = 3,
        check: Callable[[], None] = lambda: None,
        before_commit: Callable[[], None] = lambda: None,
    ):
        self._remote = is_remote(folder)
        self.folder = as_path(folder if self._remote else pathlib.Path(folder).absolute())
        self.steps_there = StepFolders(self.folder)
        self._check, self._before_commit = check, before_commit
        self._start_name = ""
        self._retention = Retention(keep, keep_every, best, keep_best)
        self._max_failures = max_failures
        self._running: tuple[int, concurrent.futures.Future[None]] | None = None
        self._copy = HostCopy()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._saves = 0
        self._committed: int | None = None  # by this process, or restored
        self.failure: CheckpointError | None = None
        self.failures = self._in_a_row = 0
        self._failing_since = 0.0

    def steps(self) -> list[int]:
        """Return the steps with a complete checkpoint, oldest first."""
        return self.steps_there.complete()

    def latest(self) -> int | None:
        """Return the newest step with a complete checkpoint, or None."""
        return (self.steps() or [None])[-1]

    def save(
        self,
        step: int,
        state: TrainState,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        *,
        must: bool = True,
    ) -> float:
        """Start to save the state of `step` after the previous save; return the seconds this took.

        The state's buffers may be donated right away, because this waits until they are copied.
        `metrics` decide which checkpoint is the best. If `must` is not set, this save is left out,
        and reported, while the previous one has been waiting for a bucket for more than a minute.

        Raises:
          CheckpointError: the last `max_failures` saves have failed. ConfigError: another run has
            taken over the folder.
        """
        began = time.monotonic()
        if not must and self._is_busy():
            notice(f"no checkpoint of step {step}: the save before it still waits for a bucket")
            return time.monotonic() - began
        self.wait()
        path = self.folder / str(step)
        self._saves += 1
        try:
            if self._remote and not self._start_name:
                self._start_name = orbax_buckets.name_of_this_start()
            if jax.process_count() > 1:
                self._clear_together(step)
            about = dict(step=step, metadata=dict(metadata), metrics=dict(metrics or {}))
            self._running = step, self._start(path, without_empty(to_tree(state)), about)
        except Exception as error:
            self._failed(step, error)
        return time.monotonic() - began

    def wait(self) -> None:
        """Wait until no save is running; `failure` is then set if the last one failed.

        Raises:
          CheckpointError: the last `max_failures` saves have failed. ConfigError: another run has
            taken over the folder.
        """
        if self._running is None:
            return
        (step, future), self._running = self._running, None
        try:
            with progress.task(f"waiting until checkpoint {step} is written"):
                future.result()
        except Exception as error:
            self._failed(step, error)
            return
        self.failure, self._in_a_row, self._committed = None, 0, step

    def close(self) -> None:
        """Wait for a running save, and stop the saving thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def metadata(self, step: int) -> dict[str, Any]:
        """Return what was given to `save`. Raises CheckpointError if there is no such step."""
        return self.manifest(step)["metadata"]

    def manifest(self, step: int) -> dict[str, Any]:
        """Return the content of a step's manifest.json, after verifying it and the files.

        Raises:
          CheckpointError: there is no such checkpoint. DamagedCheckpoint: a file has changed.
        """
        path = self.folder / str(step)
        if not (path / manifest.NAME).exists():
            known = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(
                f"there is no checkpoint of step {step} in {self.folder}; steps there: {known}"
            )
        content = manifest.read(path)
        manifest.check_files(path, content)
        return content

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """Return the state of `step` with the shardings of `shapes`, which may be on another mesh.

        Every array is compared with its checksum.

        Raises:
          CheckpointError: there is none, or it is the state of another model or optimizer.
            DamagedCheckpoint: on some process it differs from what was saved.
        """
        with cluster_status.raise_on_all_processes(f"checkpoint {step}"):
            content, tree = self.manifest(step), to_tree(shapes)
            reading.check_shapes(self.folder / str(step), content, tree)
        with progress.task(f"restoring checkpoint {step}"):
            with cluster_status.raise_on_all_processes(f"arrays of checkpoint {step}"):
                loaded = reading.load(self.folder / str(step), content, tree)
            reading.check_sums(self.folder / str(step), content, loaded)
            return from_tree(shapes, loaded)

    def restore_newest(
        self,
        shapes: TrainState,
        check: Callable[[dict[str, Any], int], None] = lambda metadata, step: None,
        *,
        below: int | None = None,
    ) -> tuple[int, TrainState] | None:
        """Return the newest undamaged step and its state, or None if nothing was ever saved.

        A damaged checkpoint is set aside and reported in one line, and the previous one is tried.
        `check(metadata, step)` is called before a step is loaded, and may refuse it
        by raising an error. With `below`, only steps before that one are tried.

        Raises:
          CheckpointError: the checkpoints are of another model, or all of them are damaged.
        """
        for step in reversed([each for each in self.steps() if below is None or each < below]):
            try:
                with cluster_status.raise_on_all_processes(f"checkpoint {step}"):
                    check(self.metadata(step), step)
                state = self.restore(step, shapes)
                self._committed = step
                return step, state
            except DamagedCheckpoint as damage:
                self._quarantine(step, damage)
        if bad := self.steps_there.damaged():
            raise CheckpointError(
                f"{self.folder} has no checkpoint that can be used: {', '.join(bad)} are damaged; "
                "nothing was deleted. `strata checkpoint verify --workdir DIR` says what is wrong; "
                "to start from scratch, give another workdir or move them away"
            )
        return None

    def set_aside_from(self, step: int, why: str) -> None:
        """Set the checkpoints from a step on aside, from which the run could not continue."""
        for bad in [each for each in self.steps() if each >= step]:
            where = f"checkpoint {self.folder / str(bad)}"
            self._quarantine(bad, DamagedCheckpoint(f"{where} is of no use: {why}"))

    def arrays(self, step: int, *parts: str) -> Tree:
        """Return verified NumPy arrays by part and name; no model or device is needed.

        The parts are "params", "ema", "model_state", "opt_state" and "counters", or those in
        `parts`.

        Raises:
          CheckpointError: there is no such step. DamagedCheckpoint: arrays are not what was saved.
        """
        with progress.task(f"reading checkpoint {step}"):
            return reading.arrays(self.folder / str(step), self.manifest(step), parts)

    def weights(
        self,
        step: int,
        params: Mapping[str, Any],
        model_state: Mapping[str, Any],
        *,
        ema: bool = True,
    ) -> Tree:
        """Return a model's parameters, with `ema` the averaged ones, and its other variables.

        Raises:
          CheckpointError: there is no such step, or it is of another model. DamagedCheckpoint:
            arrays are not what was saved.
        """
        manifest = self.manifest(step)
        tree = {"ema" if ema else "params": dict(params), "model_state": dict(model_state)}
        averaged = {name: params[name] for name in params if f"ema.{name}" in manifest["arrays"]}
        if ema and len(averaged) < len(params):  # the frozen ones have no average
            tree |= {"params": dict(params), "ema": averaged}
        reading.check_shapes(self.folder / str(step), manifest, tree)
        arrays = self.arrays(step, *tree)
        found = {
            "params": arrays.get("params", {}) | arrays.get("ema", {}),
            "model_state": arrays.get("model_state", {}),
        }
        return {
            kind: {name: found[kind][name] for name in wanted}
            for kind, wanted in zip(found, (params, model_state))
        }

    def _start(
        self, path: Path, tree: Tree, about: dict[str, Any]
    ) -> concurrent.futures.Future[None]:
        if jax.process_count() > 1:
            with orbax_buckets.context(path):
                save = lockstep.Save(str(path / self._start_name), tree, self._saves)
            return self._thread.submit(
                save.finish, lambda kinds, sums: self._commit(path, kinds, sums, about)
            )
        # Orbax's would take 15% of the save of a VDVAE, with thousands of arrays; copying takes 2%.
        host = self._copy(tree) if jax.default_backend() == "cpu" else jax.device_get(tree)
        return self._thread.submit(self._write, path, host, about)

    def _write(self, path: Path, host: Tree, about: dict[str, Any]) -> None:
        """Write and commit in the saving thread of a run of one process, with retries."""
        require_finite([name for name, array in flat(host).items() if not is_finite(array)])
        context = orbax_buckets.context(path)
        context.memory.deepcopy_host_arrays = False  # They already are a copy.
        patient_until = time.monotonic() + (_OUTAGE_S if self._remote else 0)
        for attempt in itertools.count():
            try:
                self._clear(about["step"])
                with context:
                    ocp.save_checkpointables(str(path / self._start_name), host)
                break
            except ConfigError:
                raise
            except Exception:
                if attempt and time.monotonic() > patient_until:
                    raise
                time.sleep(10 if self._remote and attempt else 0)
        kinds = {name: (array.dtype.name, array.shape) for name, array in flat(host).items()}
        self._commit(
            path, kinds, {name: checksum(array) for name, array in flat(host).items()}, about
        )

    def _commit(
        self, path: Path, kinds: Mapping[str, Any], sums: Mapping[str, int], about: Any
    ) -> None:
        arrays = {
            name: {"dtype": dtype, "shape": list(shape), "checksum": f"{sums[name]:016x}"}
            for name, (dtype, shape) in kinds.items()
        }
        self._before_commit()
        manifest.write(path, folder=self._start_name, arrays=arrays, **about)
        self._prune()

    def _prune(self) -> None:
        steps, metrics = self.steps(), {}
        if self._retention.best:
            for step in steps:
                with contextlib.suppress(DamagedCheckpoint):  # Reported when it is restored.
                    metrics[step] = manifest.read(self.folder / str(step))["metrics"]
        for step in self._retention.superfluous(steps, metrics):
            self.steps_there.delete(step)

    def _clear_together(self, step: int) -> None:
        """Delete unfinished saves, and fail on all processes if one of them cannot save here."""
        with patience(_IN_THE_LOOP_S), cluster_status.raise_on_all_processes(f"save {self._saves}"):
            try:
                if jax.process_index() == 0:
                    self._clear(step)
                if not self._remote:
                    probe.write(self.folder, jax.process_index())
            except OSError as error:
                raise CheckpointError(reason(error)) from error

    def _clear(self, step: int) -> None:
        self._check()
        self.steps_there.clear(step)

    def _is_busy(self) -> bool:
        """Return whether, on some process, a save to a bucket runs on although we waited for it."""
        if not self._remote or self._running is None:
            return False
        done, _ = concurrent.futures.wait([self._running[1]], _BUSY_S)
        if jax.process_count() == 1:
            return not done
        return bool(multihost_utils.process_allgather(np.array([not done])).any())

    def _failed(self, step: int, error: Exception) -> None:
        if isinstance(error, ConfigError):
            raise error
        # A bucket is not asked, because it may be what fails.
        latest = self._committed if self._remote else self.latest()
        kept = f"the last good one is of step {latest}" if latest else "there is none before it"
        self.failure = CheckpointError(
            f"the checkpoint of step {step} was not written: {reason(error)}; {kept}"
        )
        if not self._in_a_row:
            self._failing_since = time.monotonic()
        self.failures += 1
        self._in_a_row += 1
        if jax.process_index() == 0 and not self._remote:
            self.steps_there.delete_unfinished(step)
        # An outage of a bucket makes many frequent saves fail, and passes.
        passes = self._remote and time.monotonic() - self._failing_since < _OUTAGE_S
        if self._max_failures and self._in_a_row >= self._max_failures and not passes:
            raise CheckpointError(
                f"{self._in_a_row} saves in a row failed: {self.failure}"
            ) from error
        notice(f"{self.failure}; the run goes on")

    def _quarantine(self, step: int, damage: DamagedCheckpoint) -> None:
        """Set a damaged checkpoint aside, and keep it for inspection."""
        if jax.process_index() == 0:
            done = self.steps_there.set_aside(step, str(damage))
            notice(f"{damage}; {done}, and passed over")
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"quarantine {step}")
