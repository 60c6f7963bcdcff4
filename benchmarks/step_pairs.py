"""Time our training step and a peer's alternately in one process, on the same work.

Imported by benchmarks with a peer. Ours is compiled as in `strata train`. The ratio is our time
over theirs (below 1 is faster), by wall clock and by CPU time, which other load disturbs less.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable

import jax
import numpy as np

from pipeline import build
from pipeline.training.state import sharding


class Ours:
    """Our training step, compiled as in `strata train`."""

    def __init__(self, settings: dict, image: np.ndarray):
        mesh = build.mesh(settings)
        modeldef, shapes = build.abstract_state(settings, mesh)
        rows = len(image)
        batch = {
            "image": image,
            "label": np.full(rows, -1, np.int32),
            "index": np.arange(rows, dtype=np.int32),
        }
        self.batch = sharding.place(
            batch | {"mask": np.ones(rows, np.float32)}, sharding.batch_sharding(mesh)
        )
        began = time.perf_counter()
        lowered = sharding.lower_step(build.step(settings, modeldef, mesh), shapes, self.batch)
        traced, used = time.perf_counter(), time.process_time()
        self.compiled = lowered.compile()
        self.times = {
            "trace_s": round(traced - began, 1),
            "compile_s": round(time.perf_counter() - traced, 1),
            "compile_cpu_s": round(time.process_time() - used, 1),
        }
        self.state = build.initial_state(settings, shapes)

    def step(self) -> None:
        self.state, metrics = self.compiled(self.state, self.batch)
        jax.block_until_ready((self.state, metrics))


def compare_speed(
    settings: dict, image: np.ndarray, peer: Callable[[], object], pairs: int, steps: int
) -> dict:
    """Return the seconds of `pairs` turns.

    A turn is the fastest of `steps` steps of ours, then the fastest of the peer's.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    ours = Ours(settings, image)
    sides = {"ours": ours.step, "torch": peer}
    for step in sides.values():
        step()
    rows = []
    for _ in range(pairs):
        row = {}
        for name, step in sides.items():
            wall, cpu = [], []
            for _ in range(steps):
                began, used = time.perf_counter(), time.process_time()
                step()
                wall.append(time.perf_counter() - began)
                cpu.append(time.process_time() - used)
            row |= {f"{name}_s": round(min(wall), 4), f"{name}_cpu_s": round(min(cpu), 4)}
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    ratios = [row["ours_s"] / row["torch_s"] for row in rows]
    cpu_ratios = [row["ours_cpu_s"] / row["torch_cpu_s"] for row in rows]
    return {
        "pairs": rows,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "cpu_ratios": [round(ratio, 3) for ratio in cpu_ratios],
        "ratio": round(statistics.median(ratios), 3),
        "cpu_ratio": round(statistics.median(cpu_ratios), 3),
        "best_over_best": round(
            min(row["ours_s"] for row in rows) / min(row["torch_s"] for row in rows), 3
        ),
        "load": os.getloadavg()[0],
        **ours.times,
    }
