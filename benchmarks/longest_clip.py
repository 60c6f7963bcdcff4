"""Find the longest clip whose training step fits a TPU slice with `context` chips per clip.

    python benchmarks/longest_clip.py --size 256 --context 4 [--topology v5e:2x4] [--start 33] \\
        [--within 1]

Plans configs/wf_vae/s_4ch.py like `strata plan --quick`, with one stage, one clip per group of
chips, and without perceptual distance and discriminator, at lengths of 1 + 4k frames; each length
is where earlier plans predict the limit. Assumes that longer clips need more memory. Needs no TPU,
only its compiler (the plan extra); each plan takes minutes of CPU. `--within 4` stops at 16 frames
between a clip that fits and one that does not. Prints one JSON row. `--memory_gib` replaces the
chip's memory as the limit, and allows `--topology cpu:2`:

    python benchmarks/longest_clip.py --config configs/wf_vae/s_4ch.py:tiny --size 16 --context 2 \\
        --topology cpu:2 --memory_gib 0.02 --start 5 --most 33
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
STRATA = [sys.executable, "-c", "from pipeline.cli import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=str(ROOT / "configs" / "wf_vae" / "s_4ch.py"))
    parser.add_argument("--size", type=int, required=True, help="pixels each way")
    parser.add_argument("--context", type=int, required=True, help="chips that share a clip")
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--start", type=int, default=33, help="frames to begin with")
    parser.add_argument(
        "--most", type=int, default=4097, help="frames beyond which nothing is tried"
    )
    parser.add_argument(
        "--within", type=int, default=1, help="groups of 4 frames between the two ends, at most"
    )
    parser.add_argument(
        "--memory_gib", type=float, default=0.0, help="limit instead of the chip's memory"
    )
    flags = parser.parse_args()
    plans: dict[int, dict[str, Any]] = {}

    def share(groups: int) -> float | None:
        plans[groups] = _plan(flags, 1 + 4 * groups)
        print({"frames": 1 + 4 * groups} | plans[groups], file=sys.stderr, flush=True)
        return plans[groups]["share"]

    ends = search(
        share, start=(flags.start - 1) // 4, most=(flags.most - 1) // 4, within=flags.within
    )
    row: dict[str, Any] = {key: getattr(flags, key) for key in ("size", "context", "topology")}
    for name, groups in zip(("fits", "does_not_fit"), ends):
        row[name] = (
            None if groups is None else {"frames": 1 + 4 * groups, "bytes": plans[groups]["bytes"]}
        )
    print(json.dumps(row | {"plans": len(plans)}))


def search(
    share: Callable[[int], float | None], *, start: int, most: int, within: int = 1
) -> tuple[int | None, int | None]:
    """Return the largest known n in 1..`most` that fits, and the smallest that does not.

    They are at most `within` apart. share(n) is the fraction of the available memory that n needs:
    n fits if it is at most 1; None, if it is unknown, counts as not fitting. The first result is
    None if not even 1 fits, the second if `most` fits. share is called once for each n.
    """
    good, bad = 0, most + 1
    needs: dict[int, float] = {}
    number, guessed, misses, halvings = min(max(start, 1), most), False, 0, 0
    while bad - good > within:
        need, before = share(number), bad - good
        if need is not None:
            needs[number] = need
        if need is not None and need <= 1:
            good = number
        else:
            bad = number
        # A line may fit the curve badly: after each step that did not halve the gap, bisect once.
        if guessed and 2 * (bad - good) > before:
            misses += 1
            halvings = misses
        guess = None if halvings else _edge(needs)
        guessed = guess is not None
        if guess is None:
            halvings = max(halvings - 1, 0)
            number = min(2 * good, most) if bad > most else (good + bad) // 2
        else:
            # If one end is already close to the limit, try the point `within` away from it.
            near = min(within, (bad - good) // 2)
            number = min(max(guess, good + near), bad - near if bad <= most else most)
    return good or None, bad if bad <= most else None


def _edge(needs: dict[int, float]) -> int | None:
    """Return where the line through the two points nearest to a share of 1 reaches 1; None if flat.

    A single point is joined with the origin.
    """
    nearest = sorted(needs.items(), key=lambda item: abs(item[1] - 1))[:2]
    if not nearest:
        return None
    (low, less), (high, more) = sorted([*nearest, (0, 0.0)][:2])
    return None if more <= less else int(low + (1 - less) * (high - low) / (more - less))


def _plan(flags: argparse.Namespace, frames: int) -> dict[str, Any]:
    """Return a device's bytes for clips of this length, and their share of its memory.

    The share is None if the compiler ran out of memory.
    """
    machine = _devices(flags.topology)
    groups = machine // flags.context
    settings = {"stages": "()", "batch_size": groups, "objective.perceptual.weight": 0.0}
    settings |= {"objective.adversarial.weight": 0.0}
    settings |= {f"{section}.image_size": flags.size for section in ("data", "model")}
    settings |= {f"{section}.num_frames": frames for section in ("data", "model")}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "plan.json"
        command = [
            *STRATA,
            "plan",
            "--quick",
            "--config",
            flags.config,
            "--topology",
            flags.topology,
        ]
        command += [
            "--mesh",
            f"replica=1,fsdp={groups},context={flags.context}",
            "--json",
            str(file),
        ]
        command += [f"--config.{key}={value}" for key, value in settings.items()]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(
                f"strata plan failed with {done.returncode}: "
                f"{(done.stderr.strip().splitlines() or [''])[-1]}"
            )
        plan = json.loads(file.read_text())
    total = plan["total_bytes_per_device"]
    share = None if total is None else total / (flags.memory_gib * 2**30 or plan["memory_bytes"])
    if share is not None and not flags.memory_gib and not plan["fits"]:
        share = max(share, math.nextafter(1, 2))  # the compiler keeps some memory for itself
    return {"bytes": total, "share": share}


def _devices(topology: str) -> int:
    """Return the number of chips of a topology such as 2*v5e:2x4."""
    sys.path.insert(0, str(ROOT))
    from pipeline.planning.topology import parse

    return parse(topology).num_devices


if __name__ == "__main__":
    main()
