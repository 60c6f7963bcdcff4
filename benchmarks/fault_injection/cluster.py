"""Processes of one small run on this machine, in a local folder or in a bucket."""

import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

from pipeline.storage.paths import as_path

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS, EVERY = 40, 10
LIMIT_S = 480

RECIPE = f"""
from ml_collections import ConfigDict

def get_config(arg=""):
    config = ConfigDict(dict(num_steps={STEPS}, batch_size=8, seed=0, ema=0.9))
    config.data = dict(source="digits", image_size=8, channels=1)
    config.model = dict(
        name="vae.VAE", image_size=8, image_channels=1, channels=(8, 16), hidden=(64,),
        latent_dim=4)
    config.optimizer = dict(name="adamw", learning_rate=1e-3, warmup_steps=5, weight_decay=0.01)
    config.checkpoint = dict(every={EVERY}, keep=0)
    config.eval = dict(every=20, num_examples=16)
    config.sample = dict(every=20, num=4)
    config.log = dict(every=1)
    config.mesh = dict(replica=1, fsdp=-1, context=1)
    config.divergence = dict(patience=2, spike_sigma=0.0, max_rollbacks=2)
    return config
"""


@dataclasses.dataclass
class Outcome:
    """The result of one start of the command."""

    codes: list[int]
    said: str
    seconds: float

    @property
    def hung(self) -> bool:
        return -999 in self.codes


class Cluster:
    """Processes of one run, each with its own folder for temporary files, as on separate hosts.

    `folder` holds the recipe and the output of the processes. The run is in `folder`/run, or in
    `place`/run with `place` a folder in a bucket.
    """

    def __init__(
        self, folder: pathlib.Path, processes: int = 2, devices: int = 1, *, place: str = ""
    ):
        self.folder, self.processes, self.devices = folder, processes, devices
        self.workdir = as_path(f"{place}/run") if place else as_path(folder / "run")
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe = folder / "recipe.py"
        self.recipe.write_text(RECIPE)

    def start(
        self, *flags: str, patch: str = "", absent: tuple[int, ...] = ()
    ) -> list[subprocess.Popen]:
        """Start all processes but the absent ones."""
        port = free_port()
        self.began, self.running = time.monotonic(), []
        for process in range(self.processes):
            if process in absent:
                continue
            # Without TensorFlow a run writes no TensorBoard files, and saves seconds of imports.
            code = "import os, signal, sys, time\nsys.modules['tensorflow'] = None\n"
            code += f"PROCESS = {process}\n{patch}\nfrom pipeline.cli import main\nmain()"
            command = [sys.executable, "-c", code, "train"]
            command += ["--config", str(self.recipe), "--workdir", str(self.workdir), *flags]
            if self.processes > 1:
                command += [
                    f"--coordinator_address=127.0.0.1:{port}",
                    f"--num_processes={self.processes}",
                    f"--process_id={process}",
                ]
            scratch = self.folder / "scratch" / str(process)
            scratch.mkdir(parents=True, exist_ok=True)
            where = environment(self.devices) | {"TMPDIR": str(scratch)}
            with (self.folder / f"{process}.log").open("w") as log:
                self.running.append(subprocess.Popen(command, stdout=log, stderr=log, env=where))
        return self.running

    def wait(self, limit_s: float = LIMIT_S) -> Outcome:
        """Return all exit codes; -999 for a process that was killed at the time limit."""
        deadline = time.monotonic() + limit_s
        codes = []
        for process in self.running:
            try:
                codes.append(process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                codes.append(-999)
        return Outcome(codes, self.said(), time.monotonic() - self.began)

    def run(
        self, *flags: str, patch: str = "", absent: tuple[int, ...] = (), limit_s: float = LIMIT_S
    ) -> Outcome:
        """Start the processes and wait for them."""
        self.start(*flags, patch=patch, absent=absent)
        return self.wait(limit_s)

    def wait_for_step(self, step: int, limit_s: float = LIMIT_S) -> None:
        """Wait until a step is reported, or all processes have ended."""
        deadline = time.monotonic() + limit_s
        while self.last_step() < step and time.monotonic() < deadline:
            if all(process.poll() is not None for process in self.running):
                return
            time.sleep(0.05)

    def said(self) -> str:
        """Return the output of the processes since the last start."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))
        )

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints."""
        try:
            names = [path.name for path in (self.workdir / "checkpoints").iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdigit())

    def last_step(self) -> int:
        """Return the last step that was reported since the last start."""
        return max(map(int, re.findall(r"\bstep (\d+)/", self.said())), default=0)

    def resumed_after(self) -> int:
        """Return the step that the last start resumed after."""
        marks = re.findall(r"resuming after step (\d+)", self.said())
        return int(marks[-1]) if marks else 0

    def lines(self, name: str) -> list[dict]:
        """Return the lines of a .jsonl file of the run."""
        path = self.workdir / name
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line]  # blank after a failure

    def forget(self) -> None:
        """Delete the output of earlier starts, whose run was replaced by a copy."""
        for path in self.folder.glob("*.log"):
            path.unlink()

    def clear(self) -> None:
        """Delete the run."""
        if self.workdir.exists():
            self.workdir.rmtree()

    def digest(self) -> str:
        """Return the sha256 of the newest state."""
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", "inspect"]
        command += ["--workdir", str(self.workdir), "--json", "-"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        return (
            json.loads(done.stdout)["state_sha256"] if done.returncode == 0 else done.stderr.strip()
        )


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(devices: int = 1) -> dict[str, str]:
    """Return the environment of a process with its devices and the shared compilation cache."""
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
    extra = dict(PYTHONPATH=str(ROOT), JAX_PLATFORMS="cpu", JAX_COMPILATION_CACHE_DIR=cache)
    flags = os.environ.get("ONE_DEVICE_XLA_FLAGS", "")  # set by the tests, to compile faster
    count = f" --xla_force_host_platform_device_count={devices}" if devices > 1 else ""
    extra["XLA_FLAGS"] = flags + count
    return os.environ | extra | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
