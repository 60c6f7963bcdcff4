"""Compare our DC-AE f32c32 with diffusers' AutoencoderDC: encode and decode, in float32.

    pip install diffusers==0.42.1
    python benchmarks/dc_ae_vs_diffusers.py [--image_size 256] [--pairs 5]

One process alternates both on the same random weights, ours first, so that other load on the
machine affects both. Ratios are of medians, our time over theirs, by wall clock and by CPU time.
Memory is the peak of a separate process for each side and operation, with everything it loads; ours
finds its program in the compilation cache. Prints one JSON row, with the largest difference of the
two results over the deviation of theirs.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

# Threads of torch that wait by spinning would take the cores from whoever runs next.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from kl_f8_vs_diffusers import import_codec, timed
from peak_memory import peak_bytes

OPERATIONS = ("encode", "decode")
SIDES = ("ours", "diffusers")
LEVELS = 6
SETTINGS = dict(
    latent_channels=32,
    **{
        f"{side}_{key}": value
        for side, depths in (("encoder", (0, 4, 8, 2, 2, 2)), ("decoder", (0, 5, 10, 2, 2, 2)))
        for key, value in (
            ("block_types", ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3),
            ("block_out_channels", (128, 256, 512, 512, 1024, 1024)),
            ("layers_per_block", depths),
            ("qkv_multiscales", ((),) * LEVELS),
        )
    },
    decoder_norm_types=("batch_norm",) * 3 + ("rms_norm",) * 3,
    decoder_act_fns=("relu",) * 3 + ("silu",) * 3,
)


class Diffusers:
    """diffusers' model; `run(operation)` computes."""

    def __init__(self, folder: str, image: np.ndarray, z: np.ndarray, threads: int):
        import torch
        from diffusers import AutoencoderDC

        torch.set_num_threads(threads)
        self.torch, self.model = torch, AutoencoderDC.from_pretrained(folder).eval()
        self.inputs = {
            name: torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
            for name, x in (("encode", image), ("decode", z))
        }

    def run(self, operation: str) -> np.ndarray:
        with self.torch.no_grad():
            found = getattr(self.model, operation)(self.inputs[operation], return_dict=False)[0]
        return found.permute(0, 2, 3, 1).numpy()


class Ours:
    """Our codec of the same folder."""

    def __init__(self, folder: str, image: np.ndarray, z: np.ndarray, operations=OPERATIONS):
        import jax
        import jax.numpy as jnp

        from pipeline.backend.jit import compiler_options
        from pipeline.codec import folder as codec_folder
        from pipeline.training.runtime import malloc

        modeldef, self.weights, _, _ = codec_folder.read(pathlib.Path(folder) / "ours")
        self.wait = jax.block_until_ready
        self.inputs = {"encode": jnp.asarray(image), "decode": jnp.asarray(z)}
        functions = {
            "encode": lambda model, x: model.encode(x)[0].mean,
            "decode": lambda model, z: model.decode([z]).mean(),
        }
        options = compiler_options(jax.default_backend())
        self.compiled, self.compile_s = {}, {}
        for name in operations:
            function = functions[name]

            def run(weights, x, function=function):
                return function(modeldef.merge(weights, weights), x)

            def compiled(run=run, name=name):
                program = jax.jit(run, compiler_options=options)
                self.compiled[name] = program.lower(self.weights, self.inputs[name]).compile()

            self.compile_s[name] = round(timed(compiled)[0], 1)
        malloc.trim()  # as a run does

    def run(self, operation: str):
        return self.wait(self.compiled[operation](self.weights, self.inputs[operation]))


def inputs(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    return image, rng.normal(size=(1, size // 32, size // 32, 32)).astype(np.float32)


def compare(ours: Ours, theirs: Diffusers, operation: str, pairs: int) -> dict:
    """Return the difference of the results, and the times of alternating runs."""
    mine, reference = np.asarray(ours.run(operation)), theirs.run(operation)
    rows = [
        (*timed(lambda: ours.run(operation)), *timed(lambda: theirs.run(operation)))
        for _ in range(pairs)
    ]
    wall, cpu, their_wall, their_cpu = (statistics.median(column) for column in zip(*rows))
    return {
        "ours_s": round(wall, 3),
        "diffusers_s": round(their_wall, 3),
        "ratio": round(wall / their_wall, 3),
        "cpu_ratio": round(cpu / their_cpu, 3),
        "compile_s": ours.compile_s[operation],
        "largest_difference": float(np.abs(mine - reference).max() / reference.std()),
    }


def peak_mib(folder: str, side: str, operation: str, size: int) -> int:
    """Return the peak memory of a new process that runs the operation twice."""
    command = [sys.executable, __file__, "--child", side, operation, folder]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/cache",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for _ in range(2 if side == "ours" else 1):
        done = subprocess.run(
            [*command, "--image_size", str(size)],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | cache,
        )
    return int(done.stdout.split()[-1])


def child(side: str, operation: str, folder: str, size: int, threads: int) -> None:
    data = inputs(size)
    kind = (
        Ours(folder, *data, (operation,)) if side == "ours" else Diffusers(folder, *data, threads)
    )
    kind.run(operation)
    kind.run(operation)
    print(peak_bytes() // 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch; ours takes what the process may use"
    )
    parser.add_argument("--no_memory", action="store_true", help="times alone")
    parser.add_argument(
        "--child", nargs=3, metavar=("SIDE", "OPERATION", "DIR"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.child:
        child(*args.child, args.image_size, args.threads)
        return
    import diffusers
    import jax
    import torch

    row: dict = {"benchmark": "dc_ae_vs_diffusers", "image_size": args.image_size}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        diffusers.AutoencoderDC(**SETTINGS).save_pretrained(folder)
        import_codec(folder)
        memory = {} if args.no_memory else memory_of(folder, args.image_size)
        data = inputs(args.image_size)
        theirs, ours = Diffusers(folder, *data, args.threads), Ours(folder, *data)
        for operation in OPERATIONS:
            row[operation] = compare(ours, theirs, operation, args.pairs) | memory.get(
                operation, {}
            )
    row |= {
        "pairs": args.pairs,
        "threads": args.threads,
        "cpu": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }
    print(json.dumps(row | {"torch": torch.__version__, "diffusers": diffusers.__version__}))


def memory_of(folder: str, size: int) -> dict[str, dict]:
    """Return the peaks of each operation."""
    found = {}
    for operation in OPERATIONS:
        ours, theirs = (peak_mib(folder, side, operation, size) for side in SIDES)
        found[operation] = {
            "ours_peak_mib": ours,
            "diffusers_peak_mib": theirs,
            "memory_ratio": round(ours / theirs, 3),
        }
    return found


if __name__ == "__main__":
    main()
