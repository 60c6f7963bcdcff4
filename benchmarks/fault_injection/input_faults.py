"""Bad batches and images, and processes or starts that do not agree with each other."""

import json
import subprocess
import sys

from fault_injection.campaign import Campaign, Row
from fault_injection.cluster import Cluster, environment
from fault_injection.patches import PATCHES


def poison(campaign: Campaign) -> list[Row]:
    """Make a batch give NaN, in the loss or in the gradient only."""
    rows = []
    for only_gradient in (False, True):
        name = "NaN in the gradient alone" if only_gradient else "NaN in the loss of two batches"
        cluster = campaign.cluster(name)
        bad = _indices(cluster, [21, 22])
        first = cluster.run(
            patch=f"BAD, ONLY_GRADIENT = {bad}, {only_gradient}\n" + PATCHES["poison"]
        )
        path = cluster.workdir / "skipped_batches.json"
        skipped = json.loads(path.read_text())["rollbacks"][0]["batches"] if path.exists() else []
        seen = f"exit {first.codes}, skipped batches {skipped}"
        ok = first.codes == [0, 0] and skipped == [21, 22] and _all_finite(cluster)
        rows.append(Row(name, "back to step 20, batches 21 and 22 left out", seen, ok, 3))
    return rows


def disagreement(campaign: Campaign) -> list[Row]:
    """Make one process differ from the other."""
    cases = {
        "other program": (
            2,
            "the program of the training step (XLA) is not the same on all processes: process 1",
        ),
        "other data": (2, "the dataset (data.path) is not the same on all processes"),
        "no data": (65, "process 1 on"),
    }
    rows = []
    for name, (code, message) in cases.items():
        cluster = campaign.cluster(name)
        outcome = cluster.run(patch=PATCHES[name], limit_s=120)
        ok = outcome.codes == [code, code] and message in outcome.said and cluster.last_step() == 0
        expected = f"exit {code} before step 1, the process named"
        rows.append(Row(f"{name} on one process", expected, f"exit {outcome.codes}", ok))
    return rows


def changed(campaign: Campaign) -> list[Row]:
    """Resume with another config or dataset."""
    cluster = campaign.cluster("changed")
    first = cluster.run("--config.num_steps=10")
    assert first.codes == [0, 0], first.said
    rows = []
    # Both processes see the other dataset.
    other = PATCHES["other data"].replace("PROCESS == 1", "True")
    for name, flags, patch, message in (
        ("a changed config", ["--config.seed=3"], "", "seed: 0 -> 3"),
        ("a changed dataset", ["--config.num_steps=20"], other, "the dataset differs from that of"),
    ):
        outcome = cluster.run(*flags, patch=patch, limit_s=120)
        ok = outcome.codes == [2, 2] and message in outcome.said and cluster.steps() == [10]
        rows.append(Row(name, "exit 2 with the difference", f"exit {outcome.codes}", ok))
    return rows


def corrupt_record(campaign: Campaign) -> list[Row]:
    """Break an image among good ones: it is skipped, counted and named."""
    import numpy as np
    from PIL import Image

    cluster = campaign.cluster("corrupt record")
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
