"""Compare LiteVAE's encoder with KL-f8's, both ours: multiply-adds, milliseconds, parameters.

    python benchmarks/lite_vae_vs_kl_f8.py [--size s] [--image_size 256] [--repeats 5]

Both give latents of 8x8 pixels and take turns on one image, in float32, on all cores that this
process may use. Multiply-adds are half of the FLOPs that XLA counts in the compiled program, which
on a CPU knows its products. Prints one JSON row.
"""

import argparse
import json
import math
import os
import pathlib
import runpy
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from flax import nnx

from pipeline import build
from pipeline.backend.jit import compiler_options
from pipeline.core import parameters

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def encoder_of(recipe: str, image: np.ndarray):
    """Return the compiled encoder, its arrays, and the number of parameters."""
    settings = build.complete(runpy.run_path(str(CONFIGS / f"{recipe}.py"))["get_config"]())
    create = build.model_factory(settings | {"dtype": "float32"})
    modeldef, params, _ = parameters.split(create(nnx.Rngs(0)))
    weights = {name: array for name, array in params.items() if not name.startswith("decoder.")}
    count = sum(math.prod(array.shape) for name, array in weights.items() if "post" not in name)

    @jax.jit
    def encode(weights, image):
        return modeldef.merge(params | weights).encode(image)[0].z

    options = compiler_options(jax.default_backend())
    program = encode.lower(weights, image).compile(compiler_options=options)
    return program, weights, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="s", choices=("s", "b", "m", "l"))
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    side = options.image_size
    image = np.random.default_rng(0).uniform(-1, 1, (1, side, side, 3)).astype(np.float32)
    found = {
        name: encoder_of(recipe, image)
        for name, recipe in (("lite_vae", f"lite_vae/{options.size}"), ("kl_f8", "kl_f8/sd"))
    }
    row: dict = {"image_size": side, "size": options.size, "cores": len(os.sched_getaffinity(0))}
    programs = {name: program for name, (program, *_) in found.items()}
    times = {name: [] for name in found}
    for number in range(options.repeats + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(found[name][1], image))
            if number:  # the first turn warms up
                times[name].append(time.perf_counter() - start)
    for name, program in programs.items():
        cost = program.cost_analysis() or {}
        row[name] = {
            "parameters": found[name][2],
            "multiply_adds": int(cost.get("flops", 0) / 2),
            "milliseconds": round(1e3 * statistics.median(times[name]), 1),
            "least": round(1e3 * min(times[name]), 1),
        }
    ours, theirs = row["lite_vae"], row["kl_f8"]
    for key in ("multiply_adds", "milliseconds"):
        row[f"{key}_ratio"] = round(ours[key] / theirs[key], 3)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
