"""The longest clip whose training step fits a slice of TPUs, where groups of `context` chips share each clip.

    python benchmarks/longest_clip.py --size 256 --context 4 [--topology v5e:2x4] [--start 33] [--within 1]

Asks `strata plan --quick` for configs/wf_vae/s_4ch.py of one stage, one clip a group of chips, without perceptual
distance and discriminator, at lengths of 1 + 4k frames: twice as long until one does not fit, then halfway between.
It takes for granted that longer clips need more. No TPU is needed, only its compiler (the plan extra); each plan takes
minutes of CPU. `--within 4` is content with 16 frames between what fits and what does not. Prints one JSON row.

`--memory_gib` is a limit instead of the chip's own memory, and lets `--topology cpu:2` be one:

    python benchmarks/longest_clip.py --config configs/wf_vae/s_4ch.py:tiny --size 16 --context 2 --topology cpu:2 \\
        --memory_gib 0.02 --start 5 --most 33
"""

import argparse
import json
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(ROOT / "configs" / "wf_vae" / "s_4ch.py"))
    parser.add_argument("--size", type=int, required=True, help="pixels each way")
    parser.add_argument("--context", type=int, required=True, help="chips that share a clip")
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--start", type=int, default=33, help="frames to begin with")
    parser.add_argument("--most", type=int, default=4097, help="frames beyond which nothing is tried")
    parser.add_argument("--within", type=int, default=1, help="groups of 4 frames between the two ends, at most")
    parser.add_argument("--memory_gib", type=float, default=0.0, help="limit instead of the chip's memory")
    flags = parser.parse_args()
    plans: dict[int, dict[str, Any]] = {}

    def fits(groups: int) -> bool:
        plans[groups] = _plan(flags, 1 + 4 * groups)
        print({"frames": 1 + 4 * groups} | plans[groups], file=sys.stderr, flush=True)
        return plans[groups]["fits"]

    ends = search(fits, start=(flags.start - 1) // 4, most=(flags.most - 1) // 4, within=flags.within)
    row: dict[str, Any] = {key: getattr(flags, key) for key in ("size", "context", "topology")}
    for name, groups in zip(("fits", "does_not_fit"), ends):
        row[name] = None if groups is None else {"frames": 1 + 4 * groups, "bytes": plans[groups]["bytes"]}
    print(json.dumps(row | {"plans": len(plans)}))


def search(fits: Callable[[int], bool], *, start: int, most: int, within: int = 1) -> tuple[int | None, int | None]:
    """The largest known n, from 1 to `most`, with fits(n), and the smallest without, at most `within` apart.

    None where there is none: not even 1 fits, or `most` does. Each n is asked for once.
    """
    good, bad = 0, most + 1
    number = min(max(start, 1), most)
    while bad - good > within:
        if fits(number):
            good = number
        else:
            bad = number
        # Twice as many while nothing is known above, then the middle.
        number = min(2 * good, most) if bad > most else (good + bad) // 2
    return good or None, bad if bad <= most else None


def _plan(flags: argparse.Namespace, frames: int) -> dict[str, Any]:
    """Whether clips of so many frames fit, and the bytes of a device; None where the compiler does not tell."""
    machine = _devices(flags.topology)
    groups = machine // flags.context
    settings = {"stages": "()", "batch_size": groups, "objective.perceptual.weight": 0.0}
    settings |= {"objective.adversarial.weight": 0.0}
    settings |= {f"{section}.image_size": flags.size for section in ("data", "model")}
    settings |= {f"{section}.num_frames": frames for section in ("data", "model")}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "plan.json"
        command = [*STRATA, "plan", "--quick", "--config", flags.config, "--topology", flags.topology]
        command += ["--mesh", f"replica=1,fsdp={groups},context={flags.context}", "--json", str(file)]
        command += [f"--config.{key}={value}" for key, value in settings.items()]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(f"strata plan failed with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
        plan = json.loads(file.read_text())
    total = plan["total_bytes_per_device"]
    own = total is not None and total <= flags.memory_gib * 2**30
    return {"fits": bool(own if flags.memory_gib else plan["fits"]), "bytes": total}


def _devices(topology: str) -> int:
    """Chips of a topology such as 2*v5e:2x4."""
    sys.path.insert(0, str(ROOT))
    from pipeline.training.planning.topology import parse

    return parse(topology).num_devices


if __name__ == "__main__":
    main()
