"""Times how long a training loop stands still for a checkpoint, beside a plain synchronous save of the same state."""

import itertools
import math
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from orbax.checkpoint import v1 as ocp

from pipeline.errors import ConfigError
from pipeline.training import mesh as meshes
from pipeline.training import sharding
from pipeline.training import state as states
from pipeline.training.checkpoint import Checkpoints
from pipeline.training.state import TrainState
from pipeline.training.state_tree import to_tree

_COPIES = 4  # the state holds every parameter, its average and Adam's two moments
_WIDTH = 512


def measure(*, megabytes: int = 300, pairs: int = 5, folder: str | None = None) -> dict[str, Any]:
    """Saves a made-up state of `megabytes` (10^6 bytes), ours and plainly in turn: A B A B.

    A, `blocked_s`, is what Checkpoints.save holds its caller, who then donates the state to the next step:
    the copy of the arrays to the host, with the bookkeeping of some thousand of them. Compressing and writing
    go on in a thread, and are `write_s`. `next_step_s` is how much longer that next step takes than others: it
    shares the machine with the writing, on a CPU its cores. B, `synchronous_s`, is Orbax's save of the same
    arrays. `ratio` is the median over pairs of A / B.
    """
    if folder is not None and not pathlib.Path(folder).is_dir():
        raise ConfigError(f"--dir {folder} is not a folder")
    state = _state(megabytes * 10**6)
    step = jax.jit(lambda tree: jax.tree.map(lambda x: x + x.dtype.type(1), tree), donate_argnums=0)
    for _ in range(2):
        state = jax.block_until_ready(step(state))
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        checkpoints = Checkpoints(pathlib.Path(place) / "ours", keep=1)
        # The first pair pays for imports, threads and the allocator, and is left out.
        for number in range(1 + pairs):
            state, row = _ours(checkpoints, number, state, step)
            row["synchronous_s"] = _plain(pathlib.Path(place) / "plain" / str(number), state)
            rows.append(row)
        checkpoints.close()
    if checkpoints.failure is not None:
        raise checkpoints.failure
    return _summary(rows[1:], state)


def _ours(checkpoints: Checkpoints, number: int, state: TrainState, step: Any) -> tuple[TrainState, dict[str, float]]:
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


def _plain(path: pathlib.Path, state: TrainState) -> float:
    tree = {part: leaves for part, leaves in to_tree(state).items() if leaves}
    began = time.perf_counter()
    ocp.save_checkpointables(str(path), tree)
    return time.perf_counter() - began


def _state(size: int) -> TrainState:
    """A state of about `size` bytes, in arrays of many sizes, over all devices as a run's is."""
    shapes, left = {}, size // 4 // _COPIES // _WIDTH
    # As in a deep network: for each large kernel some smaller ones and biases.
    for rows in itertools.cycle((512, 64, 64, 1, 1, 1)):
        if left <= 0:
            break
        shapes[f"layer_{len(shapes)}"] = (min(rows, left), _WIDTH)
        left -= rows
    random = np.random.default_rng(0)
    params = {name: jnp.asarray(random.standard_normal(shape, np.float32)) for name, shape in shapes.items()}
    state = states.fresh(params, {}, optax.adam(1e-3))
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
