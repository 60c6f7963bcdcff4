"""Check that a refactoring changes no bit of training.

Compares the losses and the final state of every `:tiny` recipe.

    python benchmarks/recipe_digests.py --out before.json                     # before the change
    python benchmarks/recipe_digests.py --out after.json --compare before.json

Each recipe is trained from scratch in this process by `strata train`. The digest covers the values
of all arrays in the last checkpoint but not their names, so that renamed parameters do not count as
a difference. An existing output file is continued: recipes that it holds are not trained again. The
exit code is 1 if anything differs. A change of the step's program may change the last bit only with
the flags of this file: `--optimised` compiles as users do, which takes longer.
"""

import argparse
import gc
import hashlib
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Unoptimised code compiles in a third of the time. Both sides must use the same flags.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
if "--optimised" not in sys.argv:
    os.environ["XLA_FLAGS"] += (
        " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    )

import jax
import numpy as np

from pipeline import cli
from pipeline.training.checkpoints.store import Checkpoints

ROOT = pathlib.Path(__file__).resolve().parent.parent


def train(recipe: pathlib.Path) -> dict:
    """Train one recipe's `:tiny` mode; return its metrics and the digest of its final arrays."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "run"
        command = ["train", "--config", f"{recipe}:tiny", "--workdir", str(workdir)]
        if code := cli.dispatch([*command, "--config.sample.every=0"]):
            raise SystemExit(f"{recipe}: exit code {code}")
        metrics = [
            json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()
        ]
        checkpoints = Checkpoints(workdir / "checkpoints")
        step = checkpoints.latest()
        assert step is not None
        hashes = sorted(map(_hash, jax.tree.leaves(checkpoints.arrays(step))))
    digest = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return {"step": step, "arrays": len(hashes), "digest": digest, "metrics": metrics}


def _hash(array: np.ndarray) -> str:
    # tobytes() is row-major whatever the array's layout is.
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


def differences(before: dict, after: dict) -> list[str]:
    """Return the names of what differs between two results of `train`: state, steps or losses."""
    found = [key for key in ("step", "arrays", "digest") if before[key] != after[key]]
    losses = [
        [row["train"]["loss"] for row in each["metrics"] if "train" in row]
        for each in (before, after)
    ]
    return found + (["losses"] if losses[0] != losses[1] else [])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="JSON file to write, or to continue"
    )
    parser.add_argument(
        "--compare", type=pathlib.Path, help="JSON file of an earlier run to compare with"
    )
    parser.add_argument("--only", default="", help="only recipes whose path contains this")
    parser.add_argument("--optimised", action="store_true", help="compile as users do")
    flags = parser.parse_args()
    rows = json.loads(flags.out.read_text()) if flags.out.exists() else {}
    known = json.loads(flags.compare.read_text()) if flags.compare else {}
    different = 0
    for recipe in sorted((ROOT / "configs").rglob("*.py")):
        name = str(recipe.relative_to(ROOT / "configs"))
        if "get_config" not in recipe.read_text() or flags.only not in name:
            continue
        began = time.monotonic()
        if name not in rows:
            rows[name] = train(recipe)
            flags.out.write_text(json.dumps(rows, indent=1))
            jax.clear_caches()
            gc.collect()
        verdict = rows[name]["digest"][:12]
        if flags.compare:
            found = differences(known[name], rows[name]) if name in known else []
            verdict = "not in the earlier file" if name not in known else ", ".join(found) or "same"
            different += bool(found)
        print(f"{name}: {verdict} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    print(json.dumps({"recipes": len(rows), "different": different}))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
