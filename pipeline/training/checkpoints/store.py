"""Checkpoints of a run: Orbax writes them, beside the training; what comes back is what was saved, or it is refused.

    folder/<step>/{params,ema,other,opt_state,counters}, manifest.json

Orbax writes into <step>.orbax-checkpoint-tmp and renames at the end. manifest.json comes after that, with a checksum of
every array: a step without one is not whole, and is not seen. Steps are independent of one another: a save that
fails (a full disk) takes nothing with it.
"""

import concurrent.futures
import contextlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from pipeline.core.errors import CheckpointError, DamagedCheckpoint
from pipeline.training.checkpoints import manifest, orbax_noise
from pipeline.training.checkpoints.checksum import MASK, checksum, of_array
from pipeline.training.checkpoints.retention import Retention
from pipeline.training.runtime import cluster_status
from pipeline.training.state.state_tree import (
    Tree,
    described,
    flat,
    from_tree,
    to_tree,
    without_empty,
)
from pipeline.training.state.train_state import TrainState

_DAMAGED = ".damaged"
_TOGETHER_S = 600  # for all processes to have written their part

orbax_noise.silence()


class Checkpoints:
    """The checkpoints in a folder, a local one or one that etils.epath and Orbax reach (gs://).

    One save runs at a time, beside the training. One that fails is tried once more where its data are still at hand,
    and then told in a line on standard error, and in `failure` until a later one succeeds: the checkpoints before it
    are untouched, and the run can go on. `failures` counts them; `max_failures` in a row are an error.
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
    ):
        self.folder = (
            epath.Path(folder) if "://" in str(folder) else epath.Path(os.path.abspath(folder))
        )
        self._retention = Retention(keep, keep_every, best, keep_best)
        self._max_failures = max_failures
        self._running: tuple[int, concurrent.futures.Future[None]] | None = None
        self._host: Tree = {}
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._saves = 0
        self.failure: CheckpointError | None = None
        self.failures = self._in_a_row = 0

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, oldest first; what a kill left half-written is not among them."""
        if not self.folder.is_dir():
            return []
        numbers = (path for path in self.folder.iterdir() if path.name.isdigit())
        return sorted(int(path.name) for path in numbers if (path / manifest.NAME).exists())

    def latest(self) -> int | None:
        """The newest step with a whole checkpoint."""
        return (self.steps() or [None])[-1]

    def save(
        self,
        step: int,
        state: TrainState,
        metadata: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> float:
        """Starts to write the state of `step`, once the save before is done; returns the seconds this took.

        The state's buffers may be donated right away: this waits for their copies, and for nothing else. `metrics` are
        what the best checkpoint is chosen by.

        Raises:
          CheckpointError: the last `max_failures` saves have failed.
        """
        began = time.monotonic()
        self.wait()
        path = self.folder / str(step)
        self._saves += 1
        try:
            if jax.process_index() == 0:
                self._clear(path)
            about = dict(step=step, metadata=dict(metadata), metrics=dict(metrics or {}))
            self._running = step, self._start(path, without_empty(to_tree(state)), about)
        except Exception as error:
            self._failed(step, error)
        return time.monotonic() - began

    def wait(self) -> None:
        """Returns when no save is running; then `failure` tells whether the last one failed.

        Raises:
          CheckpointError: the last `max_failures` saves have failed.
        """
        if self._running is None:
            return
        (step, future), self._running = self._running, None
        try:
            future.result()
        except Exception as error:
            self._failed(step, error)
            return
        self.failure, self._in_a_row = None, 0

    def close(self) -> None:
        """Waits for a running save."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def metadata(self, step: int) -> dict[str, Any]:
        """What was said at `save`. Raises CheckpointError where there is no such checkpoint."""
        return self.manifest(step)["metadata"]

    def manifest(self, step: int) -> dict[str, Any]:
        """All that manifest.json of a step says (manifest.py), once it and the files are checked.

        Raises:
          CheckpointError: there is no such checkpoint. DamagedCheckpoint: something is not as it was written.
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
        """The state of `step`, with the shardings of `shapes`: those of another mesh than it was saved on, too.

        Every array is compared with its checksum.

        Raises:
          CheckpointError: there is none, or it is the state of another model or optimiser. DamagedCheckpoint: it is
            not what was saved, on whichever process that shows.
        """
        with cluster_status.raise_on_all_processes(f"checkpoint {step}"):
            content, tree = self.manifest(step), to_tree(shapes)
            self._check_shapes(step, content, tree)
        with cluster_status.raise_on_all_processes(f"arrays of checkpoint {step}"):
            loaded = self._load(step, tree)
        self._check_sums(step, content, loaded)
        return from_tree(shapes, loaded)

    def restore_newest(
        self,
        shapes: TrainState,
        check: Callable[[dict[str, Any], int], None] = lambda metadata, step: None,
    ) -> tuple[int, TrainState] | None:
        """The newest step that comes back whole, and its state; None where nothing was ever saved.

        A damaged checkpoint is renamed to <step>.damaged, told in a line, and the one before it taken. `check` sees the
        metadata of a step before it is loaded, and may refuse it by raising an error of its own.

        Raises:
          CheckpointError: the checkpoints are of another model, or every one there is damaged.
        """
        for step in reversed(self.steps()):
            try:
                with cluster_status.raise_on_all_processes(f"checkpoint {step}"):
                    check(self.metadata(step), step)
                return step, self.restore(step, shapes)
            except DamagedCheckpoint as damage:
                self._quarantine(step, damage)
        bad = (
            sorted(path.name for path in self.folder.iterdir() if _DAMAGED in path.name)
            if self._exists()
            else []
        )
        if bad:
            raise CheckpointError(
                f"{self.folder} has no checkpoint that can be used: {', '.join(bad)} are damaged; nothing was deleted. "
                "To start from scratch, give another workdir or move them away"
            )
        return None

    def arrays(self, step: int, *parts: str) -> Tree:
        """NumPy arrays by part ("params", "ema", "model_state", "opt_state", "counters"; or those named) and name.

        They are read as they lie there, onto the host, and checked: no model is built, and no device is needed.

        Raises:
          CheckpointError: there is no such step. DamagedCheckpoint: which arrays are not what was saved.
        """
        content = self.manifest(step)
        wanted: Tree = {}
        for name, said in content["arrays"].items():
            part, _, rest = name.partition(".")
            if not parts or part in parts:
                wanted.setdefault(part, {})[rest] = np.empty(
                    said["shape"], jnp.dtype(said["dtype"])
                )
        loaded = self._load(step, wanted)
        sums = {name: checksum(np.asarray(array)) for name, array in flat(loaded).items()}
        _compare(self.folder / str(step), content, sums)
        return loaded

    def weights(
        self,
        step: int,
        params: Mapping[str, Any],
        model_state: Mapping[str, Any],
        *,
        ema: bool = True,
    ) -> Tree:
        """Arrays for the shapes of a model's parameters, from the EMA or not, and of its other variables.

        Raises:
          CheckpointError: as `restore`.
        """
        part = "ema" if ema else "params"
        tree = {part: dict(params), "model_state": dict(model_state)}
        self._check_shapes(step, self.manifest(step), tree)
        arrays = self.arrays(step, *tree)
        found = {"params": arrays[part], "model_state": arrays.get("model_state", {})}
        return {
            kind: {name: found[kind][name] for name in wanted}
            for kind, wanted in zip(found, (params, model_state))
        }

    def _start(
        self, path: epath.Path, tree: Tree, about: dict[str, Any]
    ) -> concurrent.futures.Future[None]:
        if jax.process_count() > 1:
            # Processes must save in step, which only Orbax's own asynchronous save does. It holds the loop for a
            # third of a millisecond an array, to copy it; the sums are of the state as it is now, before it goes on.
            sums = {name: of_array(array) for name, array in flat(tree).items()}
            response = ocp.save_checkpointables_async(str(path), tree)
            kinds = {
                name: (np.dtype(array.dtype).name, array.shape)
                for name, array in flat(tree).items()
            }
            return self._thread.submit(
                self._finish_together, path, response, kinds, sums, about, self._saves
            )
        # That would be 15% of the whole save of a VDVAE, which has thousands. Copying alone is 2%.
        host = self._copy(tree) if jax.default_backend() == "cpu" else jax.device_get(tree)
        return self._thread.submit(self._write, path, host, about)

    def _write(self, path: epath.Path, host: Tree, about: dict[str, Any]) -> None:
        """In the saving thread of a single process."""
        context = ocp.Context()
        context.memory.deepcopy_host_arrays = False  # they are a copy, of which nobody else knows
        try:
            with context:
                ocp.save_checkpointables(str(path), host)
        except Exception:
            self._clear(path)
            with context:
                ocp.save_checkpointables(str(path), host)
        kinds = {name: (array.dtype.name, array.shape) for name, array in flat(host).items()}
        self._commit(
            path, kinds, {name: checksum(array) for name, array in flat(host).items()}, about
        )

    def _finish_together(
        self,
        path: epath.Path,
        response: Any,
        kinds: Any,
        sums: dict[str, int],
        about: dict[str, Any],
        number: int,
    ) -> None:
        """In the saving thread of each process: process 0 adds up the sums of all, and makes the step whole."""
        client, key = cluster_status.client(), f"strata/checksums/{number}/"
        client.key_value_set(f"{key}{jax.process_index()}", json.dumps(list(sums.values())))
        response.result()
        done = f"strata/saved/{number}"
        if jax.process_index() > 0:
            verdict = client.blocking_key_value_get(done, 1000 * _TOGETHER_S)
            if verdict:
                raise CheckpointError(verdict)
            return
        try:
            shares = [
                json.loads(client.blocking_key_value_get(f"{key}{process}", 1000 * _TOGETHER_S))
                for process in range(jax.process_count())
            ]
            totals = [sum(column) & MASK for column in zip(*shares, strict=True)]
            self._commit(path, kinds, dict(zip(sums, totals)), about)
        except Exception as error:
            client.key_value_set(done, _reason(error))
            raise
        client.key_value_set(done, "")

    def _commit(
        self, path: epath.Path, kinds: Mapping[str, Any], sums: Mapping[str, int], about: Any
    ) -> None:
        arrays = {
            name: {"dtype": dtype, "shape": list(shape), "checksum": f"{sums[name]:016x}"}
            for name, (dtype, shape) in kinds.items()
        }
        manifest.write(path, arrays=arrays, **about)
        self._prune()

    def _prune(self) -> None:
        steps, metrics = self.steps(), {}
        if self._retention.best:
            for step in steps:
                with contextlib.suppress(DamagedCheckpoint):  # which is found when it is wanted
                    metrics[step] = manifest.read(self.folder / str(step))["metrics"]
        for step in self._retention.superfluous(steps, metrics):
            # First what makes it whole: a kill in between leaves no half of a checkpoint that looks like one.
            (self.folder / str(step) / manifest.NAME).unlink(missing_ok=True)
            (self.folder / str(step)).rmtree(missing_ok=True)

    def _copy(self, tree: Tree) -> Tree:
        """A CPU's arrays in memory of our own: device_get would give views of the buffers that are donated next.

        The memory is kept for the next save. Touching its pages for the first time takes longer than to fill them.
        """
        if described(self._host) != described(tree):
            self._host = jax.tree.map(lambda array: np.empty(array.shape, array.dtype), tree)
        for array, host in zip(jax.tree.leaves(tree), jax.tree.leaves(self._host)):
            for shard in array.addressable_shards:
                if shard.replica_id == 0:
                    host[shard.index] = np.asarray(shard.data)
        return self._host

    def _clear(self, path: epath.Path) -> None:
        """Makes way for a save: what kills and failures left, and a checkpoint of the same step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in [
            path,
            *(each for each in self.folder.iterdir() if orbax_noise.UNFINISHED in each.name),
        ]:
            if stale.exists():
                stale.rmtree(missing_ok=True)

    def _exists(self) -> bool:
        return self.folder.is_dir()

    def _failed(self, step: int, error: Exception) -> None:
        latest = self.latest()
        kept = (
            "there is none before it"
            if latest is None
            else f"the last good one is that of step {latest}"
        )
        self.failure = CheckpointError(
            f"the checkpoint of step {step} was not written: {_reason(error)}; {kept}"
        )
        self.failures += 1
        self._in_a_row += 1
        if jax.process_index() == 0:
            (self.folder / f"{step}{orbax_noise.UNFINISHED}").rmtree(missing_ok=True)
        if self._max_failures and self._in_a_row >= self._max_failures:
            raise CheckpointError(
                f"{self._in_a_row} saves in a row failed: {self.failure}"
            ) from error
        print(f"strata: {self.failure}; the run goes on", file=sys.stderr, flush=True)

    def _quarantine(self, step: int, damage: DamagedCheckpoint) -> None:
        """Out of the way and kept: what is left of it may be wanted."""
        if jax.process_index() == 0:
            target, number = self.folder / f"{step}{_DAMAGED}", 1
            while target.exists():
                number += 1
                target = self.folder / f"{step}{_DAMAGED}{number}"
            (self.folder / str(step)).rename(target)
            print(
                f"strata: {damage}; renamed to {target.name}, and passed over",
                file=sys.stderr,
                flush=True,
            )
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"quarantine {step}")

    def _check_shapes(self, step: int, content: Mapping[str, Any], tree: Tree) -> None:
        # Orbax gives an array of another shape in silence, and names nothing where it does complain.
        arrays = content["arrays"].items()
        saved = {
            name: f"{each['dtype']}{each['shape']}"
            for name, each in arrays
            if name.partition(".")[0] in tree
        }
        wanted = described(tree)
        if (
            "counters" not in tree
        ):  # a model alone, to which what the training objective learned does not belong
            saved = {
                name: kind
                for name, kind in saved.items()
                if not name.partition(".")[2].startswith("objective.")
            }
        for name in sorted(saved.keys() | wanted.keys()):
            if saved.get(name) != wanted.get(name):
                raise CheckpointError(
                    f"checkpoint {self.folder / str(step)} is of another model or optimiser: {name} is "
                    f"{saved.get(name, 'absent')} there, and {wanted.get(name, 'absent')} here"
                )

    def _check_sums(self, step: int, content: Mapping[str, Any], loaded: Tree) -> None:
        shares = np.array([of_array(array) for array in flat(loaded).values()], np.uint64)
        if jax.process_count() > 1:
            # As pairs of 32 bits: JAX has no 64 unless it is told to.
            gathered = multihost_utils.process_allgather(shares.view(np.uint32))
            shares = np.ascontiguousarray(gathered).view(np.uint64).sum(axis=0, dtype=np.uint64)
        _compare(self.folder / str(step), content, dict(zip(flat(loaded), map(int, shares))))

    def _load(self, step: int, tree: Tree) -> Tree:
        path = self.folder / str(step)
        with _as_damage(path), _frugal(tree):
            return ocp.load_checkpointables(str(path), without_empty(tree))


def _compare(path: epath.Path, content: Mapping[str, Any], sums: Mapping[str, int]) -> None:
    wrong = [
        name
        for name, total in sums.items()
        if f"{total:016x}" != content["arrays"][name]["checksum"]
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more arrays" if len(wrong) > 3 else ""
        raise DamagedCheckpoint(
            f"checkpoint {path} is damaged: {', '.join(wrong[:3])}{more}: not what was saved (checksum)"
        )


def _frugal(tree: Tree) -> ocp.Context:
    """Reads with little memory beside the state itself: what is read at once is a tenth of it, or one array."""
    sizes = [math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in flat(tree).values()]
    context = ocp.Context()
    context.memory.read_concurrent_bytes = max(sum(sizes) // 10, *sizes, 1 << 24)
    return context


@contextlib.contextmanager
def _as_damage(path: epath.Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What the system said, where it did, else the beginning of what the library says."""
    text = " ".join(str(error).split())
    system = re.search(r"os_error_code\W+(\d+)", text)
    if system:
        return os.strerror(int(system.group(1)))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if error.__cause__ is not None:
        return _reason(error.__cause__)
    return f"{type(error).__name__}: {text.split(' [tensorstore_spec')[0][:300]}"
