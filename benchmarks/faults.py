"""Inject the faults of a cluster into runs of two processes; report what was lost and the time.

    python benchmarks/faults.py [--only NAME ...] [--kills 30] [--out FILE]

A fault hits a small run of two processes on this machine, and the same command is run again until
it is done. The final state must equal, bit for bit, the state of an undisturbed run; if batches
were skipped or devices changed, it must be finite and complete. Nothing may take longer than its
limit. Prints a table, and exits with 1 if a row is not as expected.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS, EVERY = 40, 10
LIMIT_S = 240

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

# Code that injects a fault, run in a process before its command. PROCESS is the process's number.
PATCHES = {
    "none": "",
    # Lengthen the toy's steps, so that a signal arrives during one.
    "slow": """
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, *arguments):
    time.sleep(0.05)
    take(self, *arguments)
TrainLog.step = step
""",
    "term in {phase}": """
from pipeline.training.runtime.phases import Phases
switch, sent = Phases._switch, []
def _switch(self, name):
    switch(self, name)
    if PROCESS == 1 and name == {phase!r} and not sent:
        sent.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
Phases._switch = _switch
""",
    "kill at 25": """
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, number, *arguments):
    if PROCESS == 1 and number == 25:
        os.kill(os.getpid(), SIGNAL)
    take(self, number, *arguments)
TrainLog.step = step
""",
    "stuck": """
from pipeline.data.images.image_data import Batches
take, count = Batches.__next__, []
def __next__(self):
    count.append(1)
    if PROCESS == 1 and len(count) == 25:
        time.sleep(1000)
    return take(self)
Batches.__next__ = __next__
""",
    "slow data": """
from pipeline.data.images.image_data import Batches
take = Batches.__next__
def __next__(self):
    if PROCESS == 1:
        time.sleep(0.2)
    return take(self)
Batches.__next__ = __next__
""",
    "poison": """
import jax.numpy as jnp
from pipeline.training.steps.elbo import ElboStep
gradients = ElboStep._gradients
def poisoned(self, state, other, batch, frozen, key):
    grads, metrics, other = gradients(self, state, other, batch, frozen, key)
    nan = jnp.where(jnp.isin(batch["index"], jnp.asarray(BAD)).any(), jnp.nan, 1.0)
    if ONLY_GRADIENT:
        grads = {name: g * nan for name, g in grads.items()}
    else:
        metrics = metrics | {"loss": metrics["loss"] * nan}
    return grads, metrics, other
ElboStep._gradients = poisoned
""",
    "other program": """
from pipeline.training.steps.elbo import ElboStep
gradients = ElboStep._gradients
def other(self, state, other, batch, frozen, key):
    grads, metrics, other = gradients(self, state, other, batch, frozen, key)
    return grads, metrics | {"loss": metrics["loss"] * 1.5}, other
if PROCESS == 1:
    ElboStep._gradients = other
""",
    "other data": """
import functools
import pipeline.data.images.image_data as image_data
make = image_data.ImageData.__init__
@functools.wraps(make)
def init(self, *arguments, **settings):
    make(self, *arguments, **settings)
    self.fingerprint = "f" * 64
if PROCESS == 1:
    image_data.ImageData.__init__ = init
""",
    "no data": """
import functools
import pipeline.data.images.image_data as image_data
from pipeline.core.errors import DataError
@functools.wraps(image_data.ImageData.__init__)
def init(self, *arguments, **settings):
    raise DataError("/data: No such file or directory")
if PROCESS == 1:
    image_data.ImageData.__init__ = init
""",
    "disk full at 15": """
import resource
from pipeline.training.monitoring.step_log import TrainLog
take = TrainLog.step
def step(self, number, *arguments):
    if number == 15:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    if number == 25:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    take(self, number, *arguments)
TrainLog.step = step
""",
}


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
    """Processes of one run on this machine."""

    def __init__(self, folder: pathlib.Path, processes: int = 2, devices: int = 1):
        self.folder, self.processes, self.devices, self.workdir = (
            folder,
            processes,
            devices,
            folder / "run",
        )
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
            command = [
                sys.executable,
                "-c",
                code,
                "train",
                "--config",
                str(self.recipe),
                "--workdir",
            ]
            command += [str(self.workdir), *flags]
            if self.processes > 1:
                command += [
                    f"--coordinator_address=127.0.0.1:{port}",
                    f"--num_processes={self.processes}",
                ]
                command += [f"--process_id={process}"]
            with (self.folder / f"{process}.log").open("w") as log:
                popen = subprocess.Popen(
                    command, stdout=log, stderr=log, env=environment(self.devices)
                )
            self.running.append(popen)
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

    def said(self) -> str:
        """Return the output of the processes."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log"))
        )

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints."""
        folder = self.workdir / "checkpoints"
        return (
            sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
            if folder.exists()
            else []
        )

    def last_step(self) -> int:
        """Return the last step with metrics."""
        path = self.workdir / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return json.loads(lines[-1])["step"] if lines else 0

    def resumed_after(self) -> int:
        """Return the step that the last start resumed after."""
        marks = [line for line in self.said().splitlines() if "resuming after step" in line]
        return (
            int(marks[-1].split("resuming after step")[1].split(";")[0].split()[0]) if marks else 0
        )

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


@dataclasses.dataclass
class Row:
    """A row of the table."""

    fault: str
    expected: str
    seen: str
    ok: bool
    steps_lost: int | None = None
    recovery_s: float | None = None


class Campaign:
    """The faults, each a method that returns its rows.

    `reference` is the digest of the state of an undisturbed run.
    """

    def __init__(self, folder: pathlib.Path, kills: int):
        self.folder, self.kills, self._reference = folder, kills, ""

    @property
    def reference(self) -> str:
        if not self._reference:
            cluster = Cluster(self.folder / "reference")
            outcome = cluster.run()
            assert outcome.codes == [0, 0], outcome.said
            self._reference = cluster.digest()
        return self._reference

    def _recover(
        self, cluster: Cluster, fault: str, expected: str, first: Outcome, ok: bool, *flags: str
    ) -> Row:
        """Run the command again, undisturbed: it must end in the reference state."""
        before = cluster.last_step()
        again = cluster.run(*flags)
        resumed = cluster.resumed_after()
        same = again.codes == [0, 0] and cluster.digest() == self.reference
        seen = (
            f"exit {first.codes}, then resumed after {resumed}: "
            f"{'same state' if same else f'DIFFERS {again.codes}'}"
        )
        lost = max(0, before - resumed)
        # A save in progress is lost; these steps are so short that an interval passes during it.
        bounded = lost <= 2 * EVERY
        return Row(
            fault, expected, seen, ok and same and bounded and not first.hung, lost, again.seconds
        )

    def _cluster(self, name: str) -> Cluster:
        return Cluster(self.folder / name.replace(" ", "_"))

    def kill_in_save(self) -> list[Row]:
        """Kill both processes with -9 at random times, with a save after each step."""
        cluster = self._cluster("kills")
        generator, lost, seconds, kills = random.Random(0), [], [], 0
        flags = ("--config.checkpoint.every=1",)
        while kills < self.kills:
            if cluster.last_step() >= STEPS - 2 or (cluster.workdir / "DONE").exists():
                shutil.rmtree(cluster.workdir)
            before = cluster.steps()
            running = cluster.start(*flags, patch=PATCHES["slow"])
            deadline = time.monotonic() + LIMIT_S
            while cluster.steps() == before and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(generator.uniform(0, 0.6))
            for process in running:
                process.kill()
            cluster.wait()
            kills += 1
            reached = cluster.last_step()
            again = cluster.start(*flags, patch=PATCHES["slow"])
            began = time.monotonic()
            while (
                "resuming after step" not in cluster.said() and time.monotonic() - began < LIMIT_S
            ):
                time.sleep(0.05)
            seconds.append(time.monotonic() - began)
            lost.append(reached - cluster.resumed_after())
            for process in again:
                process.kill()
            cluster.wait()
            kills += 1
        last = cluster.run(*flags)
        same = last.codes == [0, 0] and cluster.digest() == self.reference
        seen = (
            f"{kills} kills, at most {max(lost)} steps lost; "
            f"in the end {'same state' if same else 'DIFFERS'}"
        )
        ok = same and max(lost) <= 3
        expected = "no step lost but those since the last save"
        return [Row("kill -9 while saving", expected, seen, ok, max(lost), max(seconds))]

    def term(self) -> list[Row]:
        """Send SIGTERM to one process in each phase."""
        rows = []
        for phase in ("restore", "compile", "step", "data", "evaluate", "pictures", "save"):
            cluster = self._cluster(f"term {phase}")
            patch = PATCHES["term in {phase}"].replace("{phase!r}", repr(phase)) + PATCHES["slow"]
            first = cluster.run(patch=patch)
            expected = "exit 75 on both, the same step saved"
            rows.append(
                self._recover(
                    cluster, f"SIGTERM in phase {phase}", expected, first, first.codes == [75, 75]
                )
            )
        return rows

    def peer(self) -> list[Row]:
        """Kill one process, or stop it: the other ends within the heartbeat."""
        rows = []
        for name, number in (
            ("kill -9 of one process", "signal.SIGKILL"),
            ("SIGSTOP of one process", "signal.SIGSTOP"),
        ):
            cluster = self._cluster(name)
            patch = PATCHES["kill at 25"].replace("SIGNAL", number)
            cluster.start("--heartbeat_timeout=10", patch=patch)
            survivor = cluster.running[0]
            survivor.wait(LIMIT_S)
            ended = time.monotonic() - cluster.began
            cluster.running[1].kill()
            first = cluster.wait()
            expected = "the other ends within the heartbeat of 10 s"
            row = self._recover(cluster, name, expected, first, first.codes[0] != 0)
            row.seen += f" (ended {ended:.0f} s after the start)"
            rows.append(row)
        return rows

    def stuck(self) -> list[Row]:
        """Hang one process: the watchdog ends it."""
        cluster = self._cluster("stuck")
        flags = (
            "--config.watchdog.minutes=0.15",
            "--config.eval.every=0",
            "--config.sample.every=0",
        )
        first = cluster.run(*flags, patch=PATCHES["stuck"])
        named = (
            "process 1 on" in first.said and "hung: " in first.said and "phase 'data'" in first.said
        )
        stacks = list((cluster.workdir / "hangs").glob("process_*.txt"))
        expected = "exit 70, process and phase named, stacks on disk"
        ok = 70 in first.codes and named and bool(stacks)
        return [self._recover(cluster, "a process stuck in its data", expected, first, ok)]

    def straggler(self) -> list[Row]:
        """Slow down the data of one process: the others wait, and the log names it."""
        cluster = self._cluster("straggler")
        first = cluster.run("--config.log.every=5", patch=PATCHES["slow data"])
        path = cluster.workdir / "incidents.jsonl"
        told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        named = [
            each
            for each in told
            if "process 1 on" in each.get("what", "") and "'data'" in each.get("what", "")
        ]
        same = cluster.digest() == self.reference
        # On a busy machine a process may be delayed by something else, too.
        ok = first.codes == [0, 0] and len(named) > 2 and len(named) >= 0.6 * len(told) and same
        seen = f"exit {first.codes}, process 1 and its data in {len(named)} of {len(told)} lines"
        return [Row("a process with slow data", "named in the log; nothing else changes", seen, ok)]

    def missing(self) -> list[Row]:
        """Leave out one host."""
        cluster = self._cluster("missing")
        first = cluster.run("--initialization_timeout=8", absent=(1,), limit_s=60)
        ok = first.codes == [70] and "missing: 1" in first.said
        return [
            Row(
                "a process missing at the start",
                "exit 70 after the time-out, named",
                f"exit {first.codes}",
                ok,
            )
        ]

    def poison(self) -> list[Row]:
        """Make a batch give NaN, in the loss or in the gradient only."""
        rows = []
        for only_gradient in (False, True):
            name = (
                "NaN in the gradient alone" if only_gradient else "NaN in the loss of two batches"
            )
            cluster = self._cluster(name)
            bad = _indices(cluster, [21, 22])
            first = cluster.run(
                patch=f"BAD, ONLY_GRADIENT = {bad}, {only_gradient}\n" + PATCHES["poison"]
            )
            path = cluster.workdir / "skipped_batches.json"
            skipped = (
                json.loads(path.read_text())["rollbacks"][0]["batches"] if path.exists() else []
            )
            seen = f"exit {first.codes}, skipped batches {skipped}"
            ok = first.codes == [0, 0] and skipped == [21, 22] and _all_finite(cluster)
            rows.append(Row(name, "back to step 20, batches 21 and 22 left out", seen, ok, 3))
        return rows

    def disagreement(self) -> list[Row]:
        """Make one process differ from the other."""
        cases = {
            "other program": (
                2,
                "the program of the training step (XLA) is not the same on all processes: "
                "process 1",
            ),
            "other data": (2, "the dataset (data.path) is not the same on all processes"),
            "no data": (65, "process 1 on"),
        }
        rows = []
        for name, (code, message) in cases.items():
            cluster = self._cluster(name)
            outcome = cluster.run(patch=PATCHES[name], limit_s=120)
            ok = (
                outcome.codes == [code, code]
                and message in outcome.said
                and cluster.last_step() == 0
            )
            expected = f"exit {code} before step 1, the process named"
            rows.append(Row(f"{name} on one process", expected, f"exit {outcome.codes}", ok))
        return rows

    def changed(self) -> list[Row]:
        """Resume with another config or dataset."""
        cluster = self._cluster("changed")
        assert cluster.run("--config.num_steps=10").codes == [0, 0]
        rows = []
        for name, flag, message in (
            ("a changed config", "--config.seed=3", "seed: 0 -> 3"),
            ("a changed dataset", "--config.data.image_size=7", "image_size"),
        ):
            outcome = cluster.run(flag, limit_s=120)
            ok = outcome.codes == [2, 2] and message in outcome.said and cluster.steps() == [10]
            rows.append(Row(name, "exit 2 with the difference", f"exit {outcome.codes}", ok))
        return rows

    def disk_full(self) -> list[Row]:
        """Fill the disk for the save of step 20, and free it for the next one."""
        cluster = self._cluster("disk full")
        first = cluster.run(patch=PATCHES["disk full at 15"])
        same = cluster.digest() == self.reference
        steps = cluster.steps()
        ok = first.codes == [0, 0] and same and "was not written" in first.said and 30 in steps
        seen = f"exit {first.codes}, checkpoints {steps}, {'same state' if same else 'DIFFERS'}"
        return [
            Row(
                "disk full for one save", "told, training goes on, later saves succeed", seen, ok, 0
            )
        ]

    def damage(self) -> list[Row]:
        """Flip a bit in, truncate or delete each file of the newest checkpoint, or empty it."""
        cluster = self._cluster("damage")
        assert cluster.run("--config.num_steps=20").codes == [0, 0]
        pristine = self.folder / "pristine"
        shutil.copytree(cluster.workdir, pristine)
        rows = []
        for kind, harm in DAMAGE.items():
            outcomes: dict[str, int] = {}
            newest = (pristine / "checkpoints/20").rglob("*")
            files = sorted(path.relative_to(pristine) for path in newest if path.is_file())
            for file in files:
                shutil.rmtree(cluster.workdir)
                shutil.copytree(pristine, cluster.workdir)
                harm(cluster.workdir / file)
                verdict = _verdict(cluster.workdir)
                outcomes[verdict] = outcomes.get(verdict, 0) + 1
            # A kill during a save leaves a step without manifest too: it is incomplete and skipped.
            fine = {
                "step 10 used, 20 quarantined",
                "step 10 used, 20 passed over",
                "no harm: same state",
            }
            ok = set(outcomes) <= fine and outcomes.get("step 10 used, 20 passed over", 0) <= (
                kind == "deleted"
            )
            seen = ", ".join(f"{count} x {verdict}" for verdict, count in sorted(outcomes.items()))
            rows.append(
                Row(
                    f"{kind}, in each of {len(files)} files",
                    "found, or without consequence",
                    seen,
                    ok,
                )
            )
        shutil.rmtree(cluster.workdir)
        shutil.copytree(pristine, cluster.workdir)
        (cluster.workdir / "checkpoints/30").mkdir()
        first = Outcome([0, 0], "", 0.0)
        rows.append(self._recover(cluster, "an empty folder of a step", "ignored", first, True))
        shutil.rmtree(cluster.workdir)
        shutil.copytree(pristine, cluster.workdir)
        largest = max(
            (cluster.workdir / "checkpoints/20").rglob("*"), key=lambda path: path.stat().st_size
        )
        DAMAGE["one bit flipped"](largest)
        rows.append(
            self._recover(
                cluster, "a flipped bit, two processes", "step 10 used instead", first, True
            )
        )
        return rows

    def corrupt_record(self) -> list[Row]:
        """Break an image among good ones: it is skipped, counted and named."""
        import numpy as np
        from PIL import Image

        cluster = self._cluster("corrupt record")
        images = cluster.folder / "images"
        images.mkdir()
        for number in range(64):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(images / f"{number:02d}.png")
        data = (images / "07.png").read_bytes()
        (images / "07.png").write_bytes(data[: len(data) // 2])
        flags = (
            "--config.data.source=folder",
            f"--config.data.path={images}",
            "--config.num_steps=12",
        )
        outcome = cluster.run(*flags)
        ok = outcome.codes == [0, 0] and "07.png" in outcome.said
        return [Row("a corrupt image", "skipped and named", f"exit {outcome.codes}", ok)]


def _flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 1 << 4
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[pathlib.Path], None]] = {
    "one bit flipped": _flip,
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "deleted": lambda path: path.unlink(),
}

# Runs in this process: a separate process for each kind of damage would take hours.
_VERDICT = """
import json, sys
import jax
from pipeline import build
from pipeline.training.state import mesh
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state.digest import state_digest
for line in sys.stdin:
    workdir = line.strip()
    settings = json.load(open(workdir + "/config.json"))
    _, shapes = build.abstract_state(settings, mesh.create())
    checkpoints = Checkpoints(workdir + "/checkpoints")
    restored = checkpoints.restore_newest(shapes)
    print(json.dumps([restored[0], state_digest(restored[1])] if restored else [0, ""]), flush=True)
"""
_verdict_process: subprocess.Popen | None = None


def _verdict(workdir: pathlib.Path) -> str:
    """Describe the result of restoring the newest good checkpoint."""
    global _verdict_process
    if _verdict_process is None:
        command = [sys.executable, "-c", _VERDICT]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        _verdict_process = subprocess.Popen(command, text=True, env=environment(), **pipes)
    _verdict_process.stdin.write(f"{workdir}\n")
    _verdict_process.stdin.flush()
    answer = _verdict_process.stdout.readline()
    if not answer:
        _verdict_process = None
        return "RESTORE FAILED"
    step, digest = json.loads(answer)
    good = (
        json.loads((workdir.parent / "good.json").read_text())
        if (workdir.parent / "good.json").exists()
        else {}
    )
    good.setdefault(
        str(step), digest
    )  # the first one seen of a step is checked below by the runs themselves
    (workdir.parent / "good.json").write_text(json.dumps(good))
    if digest != good[str(step)]:
        return f"WRONG STATE of step {step}"
    if step == 20:
        return "no harm: same state"
    renamed = any("20." in path.name for path in (workdir / "checkpoints").iterdir())
    return f"step {step} used, 20 {'quarantined' if renamed else 'passed over'}"


def _indices(cluster: Cluster, batches: list[int]) -> list[int]:
    code = f"""
import runpy, json
from pipeline import build
settings = build.complete(runpy.run_path({str(cluster.recipe)!r})["get_config"]())
dataset = build.dataset(settings)
with dataset.train(settings["batch_size"], settings["seed"], start_step={batches[0]}) as stream:
    print(json.dumps([int(i) for _ in {batches} for i in next(stream)["index"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _all_finite(cluster: Cluster) -> bool:
    code = f"""
import numpy as np
from pipeline.training.checkpoints.store import Checkpoints
checkpoints = Checkpoints({str(cluster.workdir / "checkpoints")!r})
arrays = checkpoints.arrays(checkpoints.latest())
print(all(np.isfinite(array).all() for part in arrays.values() for array in part.values()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    return done.stdout.strip().endswith("True")


FAULTS = (
    "kill_in_save",
    "damage",
    "disk_full",
    "term",
    "peer",
    "stuck",
    "straggler",
    "missing",
    "poison",
    "corrupt_record",
    "changed",
    "disagreement",
)


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| Fault | Expected | Seen | Steps lost | Seconds to recover | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lost = "" if row.steps_lost is None else str(row.steps_lost)
        recovery = "" if row.recovery_s is None else f"{row.recovery_s:.0f}"
        verdict = "as expected" if row.ok else "**NOT as expected**"
        lines.append(
            f"| {row.fault} | {row.expected} | {row.seen} | {lost} | {recovery} | {verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--kills", type=int, default=30, help="how many times to kill while saving")
    parser.add_argument("--out", help="file for the table; standard output has it anyway")
    flags = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # aborted processes must not leave core files
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(pathlib.Path(folder), flags.kills)
        for name in flags.only:
            began = time.monotonic()
            new = getattr(campaign, name)()
            rows += new
            for row in new:
                print(f"{'ok  ' if row.ok else 'FAIL'} {row.fault}: {row.seen}", flush=True)
            print(f"     {time.monotonic() - began:.0f} s", flush=True)
    print(table(rows))
    if flags.out:
        pathlib.Path(flags.out).write_text(table(rows) + "\n")
    sys.exit(0 if all(row.ok for row in rows) else 1)


if __name__ == "__main__":
    main()
