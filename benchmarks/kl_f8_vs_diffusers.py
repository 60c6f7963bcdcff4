"""Compare our AutoencoderKL with diffusers': encode, decode and a training step, in float32.

    pip install diffusers==0.42.1
    python benchmarks/kl_f8_vs_diffusers.py [--image_size 256] [--pairs 5]

A training step is forward and backward of the mean squared error, without an optimizer. One process
alternates both on the same weights, ours first, so that other load on the machine affects both.
Ratios are of medians, our time over theirs, by wall clock and by CPU time. Memory is the peak of a
separate process for each side and operation, with everything it loads; ours finds its program in
the compilation cache. Prints one JSON row, with the largest difference of the two results.
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
import time

# Threads of torch that wait by spinning would take the cores from whoever runs next.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from peak_memory import peak_bytes

OPERATIONS = ("encode", "decode", "train_step")
SIDES = ("ours", "diffusers")
SETTINGS = dict(
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    latent_channels=4,
)


class Diffusers:
    """diffusers' model, with its operations as functions without arguments."""

    def __init__(self, folder: str, image: np.ndarray, z: np.ndarray, threads: int):
        import torch
        from diffusers import AutoencoderKL

        torch.set_num_threads(threads)
        self.torch, self.model = torch, AutoencoderKL.from_pretrained(folder)
        self.image, self.z = (
            torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() for x in (image, z)
        )

    def encode(self):
        with self.torch.no_grad():
            return self.model.encode(self.image).latent_dist.mode().permute(0, 2, 3, 1).numpy()

    def decode(self):
        with self.torch.no_grad():
            return self.model.decode(self.z).sample.permute(0, 2, 3, 1).numpy()

    def train_step(self):
        self.model.zero_grad()
        loss = (self.model(self.image).sample - self.image).square().mean()
        loss.backward()
        return loss.item()


class Ours:
    """Our codec of the same folder."""

    def __init__(self, folder: str, image: np.ndarray, z: np.ndarray, operations=OPERATIONS):
        import jax
        import jax.numpy as jnp

        from pipeline.backend.jit import compiler_options
        from pipeline.codec import folder as codec_folder
        from pipeline.training.runtime import malloc

        modeldef, self.params, _, _ = codec_folder.read(pathlib.Path(folder) / "ours")
        self.wait = jax.block_until_ready
        self.image, self.z = jnp.asarray(image), jnp.asarray(z)

        def loss(params, x):
            outputs = modeldef.merge(params)({"image": x}, key=None, train=True)
            return jnp.square(outputs.recon.mean() - x).mean()

        functions = {
            "encode": (lambda params, x: modeldef.merge(params).encode(x)[0].mean, self.image),
            "decode": (lambda params, z: modeldef.merge(params).decode([z]).mean(), self.z),
            "train_step": (jax.value_and_grad(loss), self.image),
        }
        self.compiled, self.inputs, self.compile_s = {}, {}, {}
        for name in operations:
            function, self.inputs[name] = functions[name]
            began = time.perf_counter()
            jitted = jax.jit(function, compiler_options=compiler_options(jax.default_backend()))
            self.compiled[name] = jitted.lower(self.params, self.inputs[name]).compile()
            self.compile_s[name] = round(time.perf_counter() - began, 1)
        malloc.trim()  # as a run does

    def run(self, name: str):
        return self.wait(self.compiled[name](self.params, self.inputs[name]))


def import_codec(folder: str) -> None:
    """Import the weights of their folder into a codec folder `ours` in it."""
    from pipeline.codec import folder as codec_folder
    from pipeline.importers import diffusers as diffusers_importer

    imported = diffusers_importer.read([folder])
    config = dict(model=imported.model, dtype="float32")
    codec_folder.write(pathlib.Path(folder) / "ours", config, imported.arrays)


def inputs(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    return image, rng.normal(size=(1, size // 8, size // 8, 4)).astype(np.float32)


def timed(function) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(ours: Ours, theirs: Diffusers, operation: str, pairs: int) -> dict:
    """Return the differences of the results, and the times of alternating runs."""
    other = getattr(theirs, operation)
    mine, reference = ours.run(operation), other()
    mine = mine[0] if operation == "train_step" else mine
    difference = float(np.max(np.abs(np.asarray(mine) - np.asarray(reference))))
    rows = [(*timed(lambda: ours.run(operation)), *timed(other)) for _ in range(pairs)]
    wall, cpu, their_wall, their_cpu = (statistics.median(column) for column in zip(*rows))
    return {
        "ours_s": round(wall, 3),
        "diffusers_s": round(their_wall, 3),
        "ratio": round(wall / their_wall, 3),
        "cpu_ratio": round(cpu / their_cpu, 3),
        "compile_s": ours.compile_s[operation],
        "largest_difference": difference,
    }


def peak_mib(folder: str, side: str, operation: str, size: int) -> int:
    """Return the peak memory of a new process that runs the operation twice."""
    command = [
        sys.executable,
        __file__,
        "--child",
        side,
        operation,
        folder,
        "--image_size",
        str(size),
    ]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/cache",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for _ in range(2 if side == "ours" else 1):
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | cache
        )
    return int(done.stdout.split()[-1])


def child(side: str, operation: str, folder: str, size: int, threads: int) -> None:
    if side == "ours":
        ours = Ours(folder, *inputs(size), operations=(operation,))
        run = lambda: ours.run(operation)  # noqa: E731
    else:
        run = getattr(Diffusers(folder, *inputs(size), threads), operation)
    run()
    run()
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
    parser.add_argument("--memory", action="store_true", help="peaks of memory alone")
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

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        diffusers.AutoencoderKL(**SETTINGS, sample_size=args.image_size).save_pretrained(folder)
        import_codec(folder)
        memory = {
            operation: {side: peak_mib(folder, side, operation, args.image_size) for side in SIDES}
            for operation in OPERATIONS
        }
        if args.memory:
            print(json.dumps({"image_size": args.image_size, "peak_mib": memory}))
            return
        data = inputs(args.image_size)
        theirs, ours = Diffusers(folder, *data, args.threads), Ours(folder, *data)
        row: dict = {
            "benchmark": "kl_f8_vs_diffusers",
            "image_size": args.image_size,
            "pairs": args.pairs,
        }
        for operation in OPERATIONS:
            peaks = memory[operation]
            row[operation] = compare(ours, theirs, operation, args.pairs) | {
                "ours_peak_mib": peaks["ours"],
                "diffusers_peak_mib": peaks["diffusers"],
                "memory_ratio": round(peaks["ours"] / peaks["diffusers"], 3),
            }
    row |= {
        "threads": args.threads,
        "cpu": platform.processor() or platform.machine(),
        "jax": jax.__version__,
    }
    print(json.dumps(row | {"torch": torch.__version__, "diffusers": diffusers.__version__}))


if __name__ == "__main__":
    main()
