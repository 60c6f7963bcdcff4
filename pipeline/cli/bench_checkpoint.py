"""Time how long a checkpoint blocks a training loop, against saves by Orbax and TensorStore."""

import contextlib
import itertools
import math
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jax
import optax
from orbax.checkpoint import v1 as ocp

from pipeline.cli import bench_tensorstore
from pipeline.core import progress
from pipeline.core.errors import CheckpointError, ConfigError
from pipeline.storage import access
from pipeline.storage.paths import Path, as_path, is_remote
from pipeline.training.checkpoints import orbax_buckets
from pipeline.training.checkpoints.checksum import of_array
from pipeline.training.checkpoints.orbax_errors import reason
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import sharding
from pipeline.training.state import train_state as states
from pipeline.training.state.state_tree import to_tree, without_empty
from pipeline.training.state.train_state import TrainState

_COPIES = 4  # the state holds every parameter, its EMA and Adam's two moments
_WIDTH = 512


def measure(*, megabytes: int = 300, pairs: int = 5, workdir: str | None = None) -> dict[str, Any]:
    """Save a synthetic state of `megabytes` (10^6 bytes): ours, Orbax's, TensorStore's, and again.

    `blocked_s` is how long Checkpoints.save blocks its caller, who then donates the state to the
    next step: it copies the arrays to the host and does the bookkeeping of a few thousand of them.
    A thread compresses and writes them meanwhile, in `write_s`. `next_step_s` is by how much the
    next step is slower than other steps, because it shares the machine (on a CPU, its cores) with
    the writer. `synchronous_s` is Orbax's save of the same arrays. `ratio` is the median of
    `blocked_s` / `synchronous_s` over the rounds, and `checksum_share` is the time of all checksums
    divided by `synchronous_s`.

    `restore_ratio` is the same ratio for restoring, where ours verifies every checksum.
    `restore_memory_ratio` is the peak host memory of a restore divided by the bytes of the state.

    The rates in 10^6 bytes of the state per second are those of whole saves (`blocked_s` +
    `write_s`) and restores, and of TensorStore alone, see bench_tensorstore.

    Args:
      pairs: rounds, after one that is not counted.
      workdir: a local folder or one in a bucket; what is written there is deleted at the end.

    Raises:
      ConfigError: `workdir` cannot be used. CheckpointError: a save or a restore failed.
    """
    rows = []
    with _place(workdir) as place, _failures_in_one_line(place):
        state = _state(megabytes * 10**6)
        step = jax.jit(
            lambda tree: jax.tree.map(lambda x: x + x.dtype.type(1), tree), donate_argnums=0
        )
        for _ in range(2):
            state = jax.block_until_ready(step(state))
        checkpoints = Checkpoints(place / "ours", keep=1)
        # The first round pays for imports, threads and the allocator: it is not counted.
        for number in progress.track(range(1 + pairs), "timing saves", 1 + pairs, "rounds"):
            state, row = _ours(checkpoints, number, state, step)
            row["synchronous_s"] = _plain(place / "plain" / str(number), state)
            row["tensorstore_s"] = bench_tensorstore.save(place / "alone" / str(number), state)
            rows.append(row)
        checkpoints.close()
        if checkpoints.failure is not None:
            raise checkpoints.failure
        back = _restores(checkpoints, place, pairs, state)
        back["restore_memory_ratio"] = _memory(checkpoints.folder, megabytes)
    seconds = _checksums(state)
    summary = _summary(rows[1:], state)
    share = {"checksum_share": round(seconds / summary["synchronous_s"], 4)}
    return summary | share | back | _rates(summary, back)


@contextlib.contextmanager
def _failures_in_one_line(place: Path) -> Iterator[None]:
    """Raise CheckpointError with the reason for what Orbax and TensorStore raise."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{place}: {reason(error)}") from error


@contextlib.contextmanager
def _place(workdir: str | None) -> Iterator[Path]:
    """Give an empty folder, and delete it at the end."""
    if workdir is not None and is_remote(workdir):
        access.check(workdir, name="--workdir", write=True)
        place = as_path(workdir, name="--workdir") / f"bench-{uuid.uuid4().hex[:8]}"
        try:
            yield place
        finally:
            with contextlib.suppress(FileNotFoundError):
                place.rmtree()
        return
    if workdir is not None and not as_path(workdir).is_dir():
        raise ConfigError(f"--workdir {workdir} is not a folder")
    with tempfile.TemporaryDirectory(dir=workdir) as folder:
        yield as_path(folder)


def _restores(
    checkpoints: Checkpoints, place: Path, pairs: int, state: TrainState
) -> dict[str, Any]:
    """Alternate our restore, which verifies every checksum, with Orbax's and TensorStore's."""
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    tree = without_empty(to_tree(shapes))
    step, ours, theirs, alone = checkpoints.steps()[-1], [], [], []
    plain = place / "plain" / str(pairs)
    for _ in range(1 + pairs):
        began = time.perf_counter()
        jax.block_until_ready(checkpoints.restore(step, shapes))
        middle = time.perf_counter()
        with orbax_buckets.context(plain):
            jax.block_until_ready(ocp.load_checkpointables(str(plain), tree))
        ours.append(middle - began)
        theirs.append(time.perf_counter() - middle)
        alone.append(bench_tensorstore.restore(place / "alone" / str(pairs), state))
    ratios = [left / right for left, right in zip(ours[1:], theirs[1:])]
    return {
        "restore_s": round(statistics.median(ours[1:]), 4),
        "plain_restore_s": round(statistics.median(theirs[1:]), 4),
        "tensorstore_restore_s": round(statistics.median(alone[1:]), 4),
        "restore_ratio": round(statistics.median(ratios), 4),
    }


def _checksums(state: TrainState) -> float:
    began = time.perf_counter()
    for array in jax.tree.leaves(state):
        of_array(array)
    return time.perf_counter() - began


# In a new process: memory that was freed still counts in the peak of a process that has saved.
_RESTORE = """
from pipeline.training.runtime import malloc
malloc.limit()  # as `strata train` does
import sys
import jax, jax.numpy as jnp
from pipeline.cli.bench_checkpoint import state_of
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh, sharding
shapes = jax.eval_shape(lambda: state_of(int(sys.argv[2])))
placed = sharding.state_shardings(mesh.create(), shapes)
shapes = jax.tree.map(
    lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), shapes, placed
)
jnp.zeros(8).block_until_ready()
def kilobytes(what):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what))
open("/proc/self/clear_refs", "w").write("5")  # resets the peak
before = kilobytes("VmRSS")
checkpoints = Checkpoints(sys.argv[1])
state = jax.block_until_ready(checkpoints.restore(checkpoints.latest(), shapes))
print(1024 * (kilobytes("VmHWM") - before) / sum(x.nbytes for x in jax.tree.leaves(state)))
"""


def _memory(folder: Any, megabytes: int) -> float | None:
    """Return a restore's peak host memory over the bytes of the state; None if not on Linux."""
    command = [sys.executable, "-c", _RESTORE, str(folder), str(megabytes * 10**6)]
    done = subprocess.run(command, capture_output=True, text=True)
    return round(float(done.stdout), 3) if done.returncode == 0 else None


def _ours(
    checkpoints: Checkpoints, number: int, state: TrainState, step: Any
) -> tuple[TrainState, dict[str, float]]:
    undisturbed, state = _timed(step, state)
    began = time.perf_counter()
    checkpoints.save(number, state, {"config": {}})
    blocked = time.perf_counter() - began
    disturbed, state = _timed(step, state)
    checkpoints.wait()
    return state, {
        "blocked_s": blocked,
        "next_step_s": max(0.0, disturbed - undisturbed),
        "write_s": time.perf_counter() - began - blocked,
    }


def _timed(step: Any, state: TrainState) -> tuple[float, TrainState]:
    began = time.perf_counter()
    state = jax.block_until_ready(step(state))
    return time.perf_counter() - began, state


def _plain(path: Path, state: TrainState) -> float:
    tree = without_empty(to_tree(state))
    began = time.perf_counter()
    with orbax_buckets.context(path):
        ocp.save_checkpointables(str(path), tree)
    return time.perf_counter() - began


def state_of(size: int) -> TrainState:
    """Return a state of about `size` bytes, in arrays of many sizes."""
    shapes, left = {}, size // 4 // _COPIES // _WIDTH
    # Like a deep network: for each large kernel, some smaller ones and biases.
    for rows in itertools.cycle((512, 64, 64, 1, 1, 1)):
        if left <= 0:
            break
        shapes[f"layer_{len(shapes)}"] = (min(rows, left), _WIDTH)
        left -= rows
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = {
        name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items())
    }
    return states.fresh(params, {}, optax.adam(1e-3))


def _state(size: int) -> TrainState:
    """Return `state_of(size)` sharded over all devices, like the state of a run."""
    state = state_of(size)
    return jax.device_put(state, sharding.state_shardings(meshes.create(), state))


def _summary(rows: list[dict[str, float]], state: TrainState) -> dict[str, Any]:
    leaves = jax.tree.leaves(state)
    ratios = [row["blocked_s"] / row["synchronous_s"] for row in rows]
    medians = {key: round(statistics.median(row[key] for row in rows), 4) for key in rows[0]}
    return {
        "ratio": round(statistics.median(ratios), 4),
        **medians,
        "ratio_all": [round(ratio, 4) for ratio in ratios],
        "state_bytes": sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves),
        "arrays": len(leaves),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
    }


def _rates(summary: dict[str, Any], back: dict[str, Any]) -> dict[str, float]:
    """Return 10^6 bytes of the state per second, of ours and of TensorStore alone."""
    seconds = {
        "save_mb_per_s": summary["blocked_s"] + summary["write_s"],
        "tensorstore_save_mb_per_s": summary["tensorstore_s"],
        "restore_mb_per_s": back["restore_s"],
        "tensorstore_restore_mb_per_s": back["tensorstore_restore_s"],
    }
    return {name: round(summary["state_bytes"] / 1e6 / each, 1) for name, each in seconds.items()}
