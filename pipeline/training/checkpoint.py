"""Checkpoints of a run: Orbax writes them, beside the training, and only whole ones are ever seen.

    workdir/checkpoints/<step>/{params,ema,other,opt_state,counters}

Orbax writes into <step>.orbax-checkpoint-tmp and renames at the end, so that a kill at any time leaves the
steps before it. Steps are independent of one another: a save that fails (a full disk) takes nothing with it.
"""

import concurrent.futures
import contextlib
import json
import logging
import os
import pathlib
import re
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from orbax.checkpoint import v1 as ocp

from pipeline import models, parameters
from pipeline.errors import CheckpointError
from pipeline.training import workdir as workdirs
from pipeline.training.state import TrainState

Tree = dict[str, dict[str, Any]]  # part of the state -> name -> array or its shape

_METADATA = "_CHECKPOINT_METADATA"
_UNFINISHED = ".orbax-checkpoint-tmp"
_COUNTERS = ("step", "skipped", "large_in_a_row", "nonfinite_in_a_row")
# A failure reaches us as an exception; Orbax also logs the traceback of each of its threads and tasks, pages of them.
for _logger in ("absl", "asyncio"):
    logging.getLogger(_logger).addFilter(lambda record: f"{os.sep}orbax{os.sep}" not in record.pathname)
warnings.filterwarnings("ignore", r"coroutine '.*' was never awaited", RuntimeWarning, "absl.logging")
_report_unraisable = sys.unraisablehook


def _unraisable(unraisable: Any) -> None:
    # What is left of a save that failed answers to an event loop that Orbax has closed by then.
    if not (isinstance(unraisable.exc_value, RuntimeError) and str(unraisable.exc_value) == "Event loop is closed"):
        _report_unraisable(unraisable)


sys.unraisablehook = _unraisable


class Checkpoints:
    """The checkpoints in a folder, of which the newest `keep` stay (0: all).

    One save runs at a time, beside the training. One that fails is told in a line on standard error, and in
    `failure` until a later one succeeds: the checkpoints before it are untouched, and the run can go on.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 0):
        self._folder = pathlib.Path(folder).absolute()
        self._keep = keep
        self._running: tuple[int, Any] | None = None
        self._host: Tree = {}
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self.failure: CheckpointError | None = None

    def steps(self) -> list[int]:
        """Steps with a whole checkpoint, oldest first; what a kill left half-written is not among them."""
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit() and _is_whole(path))

    def latest(self) -> int | None:
        """The newest step with a whole checkpoint."""
        return (self.steps() or [None])[-1]

    def save(self, step: int, state: TrainState, metadata: Mapping[str, Any]) -> float:
        """Starts to write the state of `step`, once the save before is done; returns the seconds this took.

        The state's buffers may be donated right away: this waits for their copies, and for nothing else.
        """
        began = time.monotonic()
        self.wait()
        path = self._folder / str(step)
        try:
            if jax.process_index() == 0:
                self._clear(path)
            self._running = step, self._start(path, to_tree(state), dict(metadata))
        except Exception as error:
            self._failed(step, error)
        return time.monotonic() - began

    def wait(self) -> None:
        """Returns when no save is running; then `failure` tells whether the last one failed."""
        if self._running is None:
            return
        (step, response), self._running = self._running, None
        try:
            response.result()
        except Exception as error:
            self._failed(step, error)
            return
        self.failure = None
        if self._keep and jax.process_index() == 0:
            for old in self.steps()[: -self._keep]:
                shutil.rmtree(self._folder / str(old), ignore_errors=True)

    def close(self) -> None:
        """Waits for a running save."""
        self.wait()
        self._thread.shutdown()

    def metadata(self, step: int) -> dict[str, Any]:
        """What was said at `save`. Raises CheckpointError where there is no such checkpoint."""
        return self._about(step).custom_metadata or {}

    def restore(self, step: int, shapes: TrainState) -> TrainState:
        """The state of `step`, with the shardings of `shapes`: those of another mesh than it was saved on, too.

        Raises:
          CheckpointError: there is none, it is damaged, or it is the state of another model or optimiser.
        """
        tree = to_tree(shapes)
        self._check(step, tree)
        return _from_tree(shapes, self._load(step, tree))

    def arrays(self, step: int, *parts: str) -> Tree:
        """NumPy arrays by part ("params", "ema", "other", "opt_state", "counters"; or those named) and name.

        They are read as they lie there, onto the host: no model is built, and no device is needed.
        """
        about = self._about(step).metadata
        wanted = {
            part: {name: np.empty(array.shape, array.dtype) for name, array in about[part].items()}
            for part in about
            if not parts or part in parts
        }
        return self._load(step, wanted)

    def weights(self, step: int, params: Mapping[str, Any], other: Mapping[str, Any], *, ema: bool = True) -> Tree:
        """Arrays for the shapes of a model's parameters, from the EMA or not, and of its other variables.

        Raises:
          CheckpointError: as `restore`.
        """
        tree = {"ema" if ema else "params": dict(params), "other": dict(other)}
        self._check(step, tree)
        arrays = self.arrays(step, *tree)
        return {"params": arrays["ema" if ema else "params"], "other": arrays.get("other", {})}

    def _start(self, path: pathlib.Path, tree: Tree, metadata: dict[str, Any]) -> Any:
        tree = _without_empty(tree)
        if jax.process_count() > 1:
            return ocp.save_checkpointables_async(str(path), tree, custom_metadata=metadata)
        # Orbax's own asynchronous save holds the loop for a third of a millisecond an array: 15% of the whole save of
        # a VDVAE, which has thousands. Copying alone is 2%. Several processes must save in step, and leave it to Orbax.
        host = self._copy(tree) if jax.default_backend() == "cpu" else jax.device_get(tree)
        return self._thread.submit(ocp.save_checkpointables, str(path), host, custom_metadata=metadata)

    def _copy(self, tree: Tree) -> Tree:
        """A CPU's arrays in memory of our own: device_get would give views of the buffers that are donated next.

        The memory is kept for the next save. Touching its pages for the first time takes longer than to fill them.
        """
        if _described(self._host) != _described(tree):
            self._host = jax.tree.map(lambda array: np.empty(array.shape, array.dtype), tree)
        for array, host in zip(jax.tree.leaves(tree), jax.tree.leaves(self._host)):
            for shard in array.addressable_shards:
                if shard.replica_id == 0:
                    host[shard.index] = np.asarray(shard.data)
        return self._host

    def _clear(self, path: pathlib.Path) -> None:
        """Makes way for a save: what kills and failures left, and a checkpoint of the same step."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in [path, *self._folder.glob(f"*{_UNFINISHED}*")]:
            if stale.exists():
                shutil.rmtree(stale)

    def _failed(self, step: int, error: Exception) -> None:
        latest = self.latest()
        kept = "there is none before it" if latest is None else f"the last good one is that of step {latest}"
        self.failure = CheckpointError(f"the checkpoint of step {step} was not written: {_reason(error)}; {kept}")
        print(f"strata: {self.failure}; the run goes on", file=sys.stderr, flush=True)
        shutil.rmtree(self._folder / f"{step}{_UNFINISHED}", ignore_errors=True)

    def _about(self, step: int) -> Any:
        path = self._folder / str(step)
        if not _is_whole(path):
            known = ", ".join(map(str, self.steps())) or "none"
            raise CheckpointError(f"there is no checkpoint of step {step} in {self._folder}; steps there: {known}")
        with _as_checkpoint_error(path):
            # Orbax takes a damaged file of metadata for an empty one.
            json.loads((path / _METADATA).read_text())["custom_metadata"]
            about = ocp.checkpointables_metadata(str(path))
        for part, arrays in about.metadata.items():
            if arrays is None:
                raise CheckpointError(f"checkpoint {path} is damaged: its {part} cannot be read")
        return about

    def _check(self, step: int, tree: Tree) -> None:
        # Orbax gives an array of another shape in silence, and names nothing where it does complain.
        about = self._about(step).metadata
        saved = _described({part: about.get(part, {}) for part in tree})
        wanted = _described(tree)
        for name in sorted(saved.keys() | wanted.keys()):
            if saved.get(name) != wanted.get(name):
                raise CheckpointError(
                    f"checkpoint {self._folder / str(step)} is of another model or optimiser: {name} is "
                    f"{saved.get(name, 'absent')} there, and {wanted.get(name, 'absent')} here"
                )

    def _load(self, step: int, tree: Tree) -> Tree:
        path = self._folder / str(step)
        with _as_checkpoint_error(path):
            return ocp.load_checkpointables(str(path), _without_empty(tree))


def load_for_inference(
    workdir: str | os.PathLike[str], step: int | None = None, ema: bool = True
) -> tuple[dict[str, Any], int, Any]:
    """(config, step, model) of a run's checkpoint, the newest by default, with its EMA weights or the last ones.

    Raises:
      ConfigError: the folder holds no run. CheckpointError: there is no such checkpoint, or it does not load.
    """
    config = workdirs.load(workdir)
    checkpoints = Checkpoints(pathlib.Path(workdir) / "checkpoints")
    step = checkpoints.latest() if step is None else step
    if step is None:
        raise CheckpointError(f"{workdir} has no checkpoint yet")
    modeldef, params, other = parameters.abstract(
        lambda: models.create(config["model"], rngs=nnx.Rngs(0), dtype=jnp.dtype(config["dtype"]))
    )
    weights = jax.device_put(checkpoints.weights(step, params, other, ema=ema))
    return config, step, modeldef.merge(weights["params"], weights["other"])


def to_tree(state: TrainState) -> Tree:
    """A state, or one of shapes, as a checkpoint names its arrays."""
    return {
        "params": dict(state.params),
        "ema": dict(state.ema),
        "other": dict(state.other),
        "opt_state": _named(state.opt_state),
        "counters": {name: getattr(state, name) for name in _COUNTERS},
    }


def _from_tree(shapes: TrainState, tree: Tree) -> TrainState:
    names, structure = list(_named(shapes.opt_state)), jax.tree.structure(shapes.opt_state)
    arrays = tree.get("opt_state", {})
    return TrainState(
        params=tree["params"],
        ema=tree["ema"],
        other=tree.get("other", {}),
        opt_state=jax.tree.unflatten(structure, [arrays[name] for name in names]),
        **tree["counters"],
    )


def _named(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _described(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{part}.{name}": f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"
        for part, leaves in tree.items()
        for name, leaf in leaves.items()
    }


def _without_empty(tree: Tree) -> Tree:
    return {part: leaves for part, leaves in tree.items() if leaves}


def _is_whole(path: pathlib.Path) -> bool:
    return (path / _METADATA).is_file() and (path / "commit_success.txt").is_file()


@contextlib.contextmanager
def _as_checkpoint_error(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {_reason(error)}") from error


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
