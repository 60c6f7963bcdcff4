"""Disks that are full, and checkpoints that are damaged."""

import json
import subprocess
import sys
from collections.abc import Callable

from fault_injection.campaign import Campaign, Row, Snapshot
from fault_injection.cluster import STEPS, Cluster, Outcome, environment
from fault_injection.patches import PATCHES

from pipeline.storage.paths import Path
from pipeline.training.checkpoints.step_folders import StepFolders


def disk_full(campaign: Campaign) -> list[Row]:
    """Fill the disk from step 15 to 25: for all logs and, unless in a bucket, the save of step 20.

    With the run in a bucket, the disk only holds logs that wait for their upload.
    """
    cluster = campaign.cluster("disk full")
    first = cluster.run(patch=PATCHES["disk full at 15"])
    same = cluster.digest() == campaign.reference
    steps, logged = cluster.steps(), {line["step"] for line in cluster.lines("metrics.jsonl")}
    gap = sorted({*range(1, STEPS + 1)} - logged)
    ok = first.codes == [0, 0] and same and 30 in steps
    ok = ok and set(gap) <= {*range(14, 27)} and "metrics.jsonl cannot be written" in first.said
    expected = "reported, logs may have a gap, checkpoints have none"
    if not campaign.place:
        ok = ok and "was not written" in first.said
        expected = "reported, training goes on, later saves succeed, logs may have a gap"
    seen = (
        f"exit {first.codes}, checkpoints {steps}, {'same state' if same else 'DIFFERS'}, "
        f"metrics.jsonl lacks steps {gap}"
    )
    return [Row("disk full for ten steps", expected, seen, ok, 0)]


def damage(campaign: Campaign) -> list[Row]:
    """Flip a bit in, truncate or delete each file of the newest checkpoint, or leave a stump."""
    cluster = campaign.cluster("damage")
    first = cluster.run("--config.num_steps=20")
    assert first.codes == [0, 0], first.said
    pristine, newest, verdicts = Snapshot(cluster.workdir), "checkpoints/20/", _Verdicts()
    files = [name for name in pristine.files if name.startswith(newest)]
    rows = []
    for kind, harm in DAMAGE.items():
        outcomes: dict[str, int] = {}
        harmed = ""
        for file in files:
            pristine.put(cluster.workdir, harmed)
            harm(cluster.workdir / file)
            harmed = file
            verdict = verdicts.of(cluster.workdir)
            outcomes[verdict] = outcomes.get(verdict, 0) + 1
        pristine.put(cluster.workdir, harmed)
        # A kill during a save leaves a step without manifest too: it is incomplete and skipped.
        unfinished = outcomes.get("step 10 used, 20 passed over", 0)
        ok = set(outcomes) <= _FINE and unfinished <= (kind == "deleted")
        seen = ", ".join(f"{count} x {verdict}" for verdict, count in sorted(outcomes.items()))
        fault = f"{kind}, in each of {len(files)} files"
        rows.append(Row(fault, "found, or without consequence", seen, ok))
    verdicts.close()
    whole = Outcome([0, 0], "", 0.0)
    rows.append(_stump(campaign, cluster, whole))
    pristine.put(cluster.workdir)
    cluster.forget()
    largest = max(files, key=lambda name: len(pristine.files[name]))
    _flip(cluster.workdir / largest)
    fault = "a flipped bit, two processes"
    rows.append(campaign.recover(cluster, fault, "step 10 used instead", whole, True))
    return rows


def _stump(campaign: Campaign, cluster: Cluster, whole: Outcome) -> Row:
    """Leave an empty folder of a newer step; in a bucket, which has none, one object of it."""
    step = cluster.workdir / "checkpoints/30"
    if not campaign.place:
        step.mkdir()
        return campaign.recover(cluster, "an empty folder of a step", "ignored", whole, True)
    (step / "params/manifest.ocdbt").write_bytes(b"half")
    return campaign.recover(cluster, "one object of an unfinished step", "ignored", whole, True)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 1 << 4
    path.write_bytes(bytes(data))


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


DAMAGE: dict[str, Callable[[Path], None]] = {
    "one bit flipped": _flip,
    "cut in half": _cut,
    "deleted": lambda path: path.unlink(),
}
_FINE = {
    "step 10 used, 20 quarantined",
    "step 10 used, 20 passed over",
    "no harm: same state",
}

# Restores in one process: a separate process for each kind of damage would take hours.
_RESTORE = """
import json, sys
import jax
from pipeline import build
from pipeline.storage.paths import as_path
from pipeline.training.state import mesh
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state.digest import state_digest
for line in sys.stdin:
    workdir = as_path(line.strip())
    settings = json.loads((workdir / "config.json").read_text())
    _, shapes = build.abstract_state(settings, mesh.create())
    checkpoints = Checkpoints(workdir / "checkpoints")
    restored = checkpoints.restore_newest(shapes)
    print(json.dumps([restored[0], state_digest(restored[1])] if restored else [0, ""]), flush=True)
"""


class _Verdicts:
    """Restores the newest good checkpoint of a run, again and again."""

    def __init__(self):
        self._good: dict[int, str] = {}  # The runs themselves check the first one seen of a step.
        self._process: subprocess.Popen | None = None

    def of(self, workdir: Path) -> str:
        """Describe the result of a restore."""
        if self._process is None:
            command = [sys.executable, "-c", _RESTORE]
            pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self._process = subprocess.Popen(command, text=True, env=environment(), **pipes)
        self._process.stdin.write(f"{workdir}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self.close()
            return "RESTORE FAILED"
        step, digest = json.loads(answer)
        if digest != self._good.setdefault(step, digest):
            return f"WRONG STATE of step {step}"
        if step == 20:
            return "no harm: same state"
        damaged = StepFolders(workdir / "checkpoints").damaged()
        return f"step {step} used, 20 {'quarantined' if damaged else 'passed over'}"

    def close(self) -> None:
        """End the process that restores."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
