"""Measure weak scaling on this machine: one process on one core against two on two cores.

    python benchmarks/weak_scaling.py [--pairs 3] [--steps 40] [--batch_size 32]

The configurations alternate. Each runs `strata train` on the quickstart recipe (a small VDVAE on
photographs) with batch_size examples per process. The efficiency is the throughput of two processes
in images per second, divided by twice the throughput of one. With `replica`, only gradients are
summed over gloo; with `fsdp`, parameters and optimizer state are sharded over the two processes,
gathered and reduced. `apart` is the efficiency of two independent runs at once: it shows the
overhead of the machine itself. Prints one JSON row.
"""

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KINDS = ("replica", "fsdp", "apart")


def images_per_second(axis: str, steps: int, batch_size: int, folder: pathlib.Path) -> float:
    """Return the median throughput of a kind of run.

    One process ("one"), two that share a mesh axis, or two that share nothing ("apart").
    """
    processes = 1 if axis == "one" else 2
    raise_on_all_processes = axis in ("replica", "fsdp")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {
        "num_steps": steps,
        "batch_size": batch_size * (2 if raise_on_all_processes else 1),
        "log.every": 5,
    }
    changes |= {"mesh.fsdp": 1} | ({f"mesh.{axis}": 2} if raise_on_all_processes else {})
    changes |= {"checkpoint.every": 0, "eval.every": 0, "sample.every": 0}
    running = []
    for process in range(processes):
        workdir = folder / str(0 if raise_on_all_processes else process)
        command = [
            "taskset",
            "-c",
            str(process),
            sys.executable,
            "-c",
            "from pipeline.cli import main; main()",
        ]
        command += [
            "train",
            "--config",
            str(ROOT / "configs/vdvae/photos.py"),
            "--workdir",
            str(workdir),
        ]
        command += [f"--config.{key}={value}" for key, value in changes.items()]
        if raise_on_all_processes:
            command += [
                f"--coordinator_address=127.0.0.1:{port}",
                "--num_processes=2",
                f"--process_id={process}",
            ]
        extra = dict(PYTHONPATH=str(ROOT), XLA_FLAGS="", JAX_PLATFORMS="cpu")
        extra["JAX_COMPILATION_CACHE_DIR"] = os.environ.get(
            "JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")
        )
        running.append(
            subprocess.Popen(command, env=os.environ | extra, stdout=subprocess.DEVNULL, stderr=2)
        )
    if any(process.wait() for process in running):
        raise SystemExit("a run failed")
    rates = [_median_rate(run) for run in folder.iterdir()]
    return sum(rates)


def _median_rate(workdir: pathlib.Path) -> float:
    lines = map(json.loads, (workdir / "speed.jsonl").read_text().splitlines())
    return statistics.median([line["speed"]["images_per_s"] for line in lines][2:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch_size", type=int, default=32)
    flags = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(flags.pairs):
            rates = {
                axis: images_per_second(
                    axis, flags.steps, flags.batch_size, _made(folder, f"{pair}_{axis}")
                )
                for axis in ("one", *KINDS)
            }
            rows.append(
                rates | {f"efficiency_{axis}": rates[axis] / (2 * rates["one"]) for axis in KINDS}
            )
            print(rows[-1], file=sys.stderr)
    medians = {
        f"efficiency_{axis}": statistics.median(row[f"efficiency_{axis}"] for row in rows)
        for axis in KINDS
    }
    print(json.dumps(medians | {"runs": rows, "batch_a_process": flags.batch_size}))


def _made(folder: str, name: str) -> pathlib.Path:
    made = pathlib.Path(folder) / name
    made.mkdir()
    return made


if __name__ == "__main__":
    main()
