"""Compare the memory that tile="auto" and chunk="auto" predict with what coding then takes.

    python benchmarks/auto_memory.py [--only kl_f8 wan21] [--markdown]

Codecs of published width with random weights encode and decode a clip, or an image, for several
budgets, each in a process of its own. Measured is the peak of resident memory while the clip is
coded a second time, above what is resident before it, plus the weights, which are resident already:
the input, intermediate results, caches, results. The process needs more than that for Python, JAX,
the compiled programs and, the first time, the compiler: `process` is the peak of the whole process.
Linux only. Prints one JSON row; `worst` is the largest relative error of a prediction.
"""

import argparse
import ctypes
import gc
import json
import os
import pathlib
import runpy
import subprocess
import sys
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from peak_memory import peak_bytes  # noqa: E402

MIB = 2**20
# Recipe, (frames, height, width), and the budgets in MiB: whole, cut, and cut further.
CASES: dict[str, tuple[str, tuple[int, int, int], dict[str, list[int]]]] = {
    "kl_f8": ("kl_f8/sd", (1, 384, 384), dict(encode=[4000, 900, 600], decode=[4000, 1200, 700])),
    "wf_vae_s": (
        "wf_vae/s_4ch",
        (33, 96, 96),
        dict(encode=[4000, 850, 700], decode=[4000, 1100, 800]),
    ),
    "wan21": ("wan/wan21", (9, 128, 96), dict(encode=[4000, 1000, 700], decode=[5000, 1200, 800])),
    "taehv": ("taehv/base", (17, 192, 192), dict(encode=[4000, 200], decode=[4000, 400, 150])),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--markdown", action="store_true", help="print a table to standard error")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # case, operation, MiB
    flags = parser.parse_args()
    if flags.one:
        print(json.dumps(measured(flags.one[0], flags.one[1], int(flags.one[2]))))
        return
    rows = []
    for name in flags.only:
        for operation, budgets in CASES[name][2].items():
            for budget in budgets:
                command = [sys.executable, __file__, "--one", name, operation, str(budget)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1], file=sys.stderr, flush=True)
    if flags.markdown:
        print("\n".join(map(_line, rows)), file=sys.stderr)
    worst = max((abs(row["error"]) for row in rows), default=0.0)
    print(json.dumps({"benchmark": "auto_memory", "rows": rows, "worst": worst}))


def measured(name: str, operation: str, budget: int) -> dict[str, Any]:
    """Return the choice for a budget in MiB, its predicted peak, and the peak of using it."""
    recipe, size, _ = CASES[name]
    codec = codec_of(recipe)
    codec.memory = budget * MIB
    weights = sum(array.nbytes for part in codec.state for array in part.values())
    row = dict(codec=name, operation=operation, size="x".join(map(str, size)), budget_mib=budget)
    run(codec, operation, size)
    ((cut, predicted),) = codec._cutting._auto.choices
    row |= dict(chunk=cut.chunk, tile=cut.tile)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    process = peak_bytes()
    before = resident_bytes()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    run(codec, operation, size)
    found = peak_bytes() - before + weights
    row |= dict(predicted_mib=round(predicted / MIB), measured_mib=round(found / MIB))
    row |= dict(weights_mib=round(weights / MIB), process_mib=round(process / MIB))
    return row | dict(error=round(predicted / found - 1, 3))


def run(codec: Any, operation: str, size: tuple[int, int, int]) -> None:
    """Code a clip of noise; what it gives is dropped."""
    rng = np.random.default_rng(0)
    if operation == "encode":
        shape = (*size, 3) if codec.is_video else (*size[1:], 3)
        encoding = codec.encode(
            rng.integers(0, 256, (1, *shape), np.uint8), chunk="auto", tile="auto"
        )
        np.asarray(encoding.mode())
        return
    shape = codec.latent_shape(*size)
    z = rng.standard_normal((1, *(shape if codec.is_video else shape[1:])), np.float32)
    np.asarray(codec.decode(z, chunk="auto", tile="auto"))


def codec_of(recipe: str) -> Any:
    """Return the codec of a recipe with random weights, in float32."""
    import jax

    from pipeline import build
    from pipeline.codec.any_size import AnySizeCodec

    path = str(ROOT / "configs" / f"{recipe}.py")
    config = dict(build.complete(runpy.run_path(path)["get_config"]("")), dtype="float32")
    abstract = build.abstract_codec(config)
    rng = np.random.default_rng(0)
    weights = {}
    for name, leaf in abstract.weights.items():
        weights[name] = jax.device_put(
            (0.02 * rng.standard_normal(leaf.shape, np.float32)).astype(leaf.dtype)
        )
    return AnySizeCodec(abstract.modeldef, weights, config)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    text = pathlib.Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(text.split("Rss:")[1].split()[0])


def _line(row: dict[str, Any]) -> str:
    cut = f"tile {row['tile']}" if row["tile"] else "whole frames"
    cut += f", chunks of {row['chunk']}" if row["chunk"] else ""
    return (
        f"| {row['codec']} | {row['operation']} {row['size']} | {row['budget_mib']} | {cut} | "
        f"{row['predicted_mib']} | {row['measured_mib']} | {100 * row['error']:+.0f}% | "
        f"{row['process_mib']} |"
    )


if __name__ == "__main__":
    main()
