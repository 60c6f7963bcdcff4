"""Compare Wan's video codec with diffusers' at the published width: parity, time and memory.

    pip install diffusers==0.42.1
    python benchmarks/wan_vs_diffusers.py [--model wan21] [--frames 17] [--size 128] [--pairs 3] \\
        [--chunk 4]
    python benchmarks/wan_vs_diffusers.py --model wan22 --pairs 0 --no-memory       # parity alone

Weights are random and the same for both, float32; the clip is noise. Both encode a clip to its
posterior mean and decode that, in chunks of time: diffusers frame 0 and then 4 frames at a time,
ours frame 0 and then `--chunk` frames (0 takes the whole clip). One process alternates both, ours
first, so that other load on the machine affects both; ratios are of medians, our time over theirs,
by wall clock and by CPU time. Memory is the peak of a separate process for each side and operation,
with everything it loads, diffusers from its folder and ours from the codec that was imported from
it; ours finds its programs in the compilation cache. Differences are the largest, over the standard
deviation of diffusers' result. Prints one JSON row.
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
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
from peak_memory import peak_bytes

OPERATIONS = ("encode", "decode")
SIDES = ("ours", "diffusers")
CODEC = "codec"  # the folder, in diffusers', that ours reads
MODELS = {
    "wan21": {},
    "wan22": dict(
        base_dim=160,
        decoder_base_dim=256,
        z_dim=48,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
    ),
}


class Diffusers:
    """diffusers' model of a folder, with its operations as functions without arguments."""

    def __init__(self, folder: str, threads: int):
        import torch
        from diffusers import AutoencoderKLWan

        torch.set_num_threads(threads)
        self.torch, self.model = torch, AutoencoderKLWan.from_pretrained(folder).eval()

    def run(self, operation: str, x: np.ndarray) -> np.ndarray:
        given = self.torch.from_numpy(x).permute(0, 4, 1, 2, 3).contiguous()
        with self.torch.no_grad():
            if operation == "encode":
                found = self.model.encode(given).latent_dist.mean
            else:
                found = self.model.decode(given).sample
        return found.permute(0, 2, 3, 4, 1).numpy()


class Ours:
    """The codec that was imported from the same folder, a chunk of time at a time."""

    def __init__(self, folder: str, chunk: int):
        import jax

        from pipeline.backend.jit import compiler_options
        from pipeline.codec import folder as codec_folder
        from pipeline.nn.cache import CausalCache

        modeldef, self.weights, _, _ = codec_folder.read(f"{folder}/{CODEC}")
        self.chunk, self.factor = chunk, modeldef.skeleton().temporal_factor

        def encode(weights, x, given):
            cache = CausalCache(given)
            (latent,) = modeldef.merge(weights).encode(x, cache=cache)
            return latent.mean, cache.arrays()

        def decode(weights, z, given):
            cache = CausalCache(given)
            return modeldef.merge(weights).decode((z,), cache=cache).mean(), cache.arrays()

        options = compiler_options(jax.default_backend())
        self.programs = {
            function.__name__: jax.jit(function, donate_argnums=2, compiler_options=options)
            for function in (encode, decode)
        }

    def run(self, operation: str, x: np.ndarray) -> np.ndarray:
        frames = x.shape[1]
        chunk = self.chunk if operation == "encode" else self.chunk // self.factor
        starts = [0, *range(1, frames, chunk)] if chunk else [0]
        parts, cache = [], None
        for start, end in zip(starts, [*starts[1:], frames]):
            part, cache = self.programs[operation](self.weights, x[:, start:end], cache)
            parts.append(np.asarray(part))
        # diffusers clamps the frames that it decodes.
        whole = np.concatenate(parts, axis=1)
        return whole if operation == "encode" else np.clip(whole, -1, 1, out=whole)


def inputs(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Return a clip, and latents of unit variance."""
    rng = np.random.default_rng(0)
    factor, channels = (16, 48) if args.model == "wan22" else (8, 16)
    side, latents = args.size // factor, 1 + args.frames // 4
    return {
        "encode": rng.uniform(-1, 1, (1, args.frames, args.size, args.size, 3)).astype(np.float32),
        "decode": rng.normal(size=(1, latents, side, side, channels)).astype(np.float32),
    }


def create(model: str, folder: str) -> None:
    """Write a folder of diffusers with random weights of which none is constant, and our codec."""
    import torch
    from diffusers import AutoencoderKLWan

    from pipeline.cli.import_weights import import_codec

    torch.manual_seed(0)
    made = AutoencoderKLWan(**MODELS[model])
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith(("gamma", "bias")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    made.save_pretrained(folder)
    import_codec("diffusers", [folder], pathlib.Path(folder, CODEC), license="unknown")


def timed(function) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(ours: Ours, theirs: Diffusers, operation: str, x: np.ndarray, pairs: int) -> dict:
    """Return the difference of the results, and the times of alternating runs."""
    began = time.perf_counter()
    mine = ours.run(operation, x)
    first_s = time.perf_counter() - began
    reference = theirs.run(operation, x)
    row = {
        "largest_difference": float(np.abs(mine - reference).max() / reference.std()),
        "first_run_s": round(first_s, 1),
    }
    if not pairs:
        return row
    rows = [
        (*timed(lambda: ours.run(operation, x)), *timed(lambda: theirs.run(operation, x)))
        for _ in range(pairs)
    ]
    wall, cpu, their_wall, their_cpu = (statistics.median(column) for column in zip(*rows))
    return row | {
        "ours_s": round(wall, 3),
        "diffusers_s": round(their_wall, 3),
        "ratio": round(wall / their_wall, 3),
        "cpu_ratio": round(cpu / their_cpu, 3),
    }


def peak_mib(folder: str, side: str, operation: str, args: argparse.Namespace) -> int:
    """Return the peak memory of a new process that runs the operation twice."""
    settings = ("model", "frames", "size", "chunk", "threads")
    command = [sys.executable, __file__, "--child", side, operation, folder]
    command += [text for name in settings for text in (f"--{name}", str(getattr(args, name)))]
    cache = {
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/cache",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for _ in range(2 if side == "ours" else 1):
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | cache
        )
    return int(done.stdout.split()[-1])


def child(args: argparse.Namespace) -> None:
    side, operation, folder = args.child
    codec = Ours(folder, args.chunk) if side == "ours" else Diffusers(folder, args.threads)
    x = inputs(args)[operation]
    codec.run(operation, x)
    codec.run(operation, x)
    print(peak_bytes() // 2**20)


def main() -> None:
    args = flags()
    if args.child:
        child(args)
        return
    import diffusers
    import jax
    import torch

    row: dict = {"benchmark": "wan_vs_diffusers"}
    row |= {name: getattr(args, name) for name in ("model", "frames", "size", "chunk", "pairs")}
    with tempfile.TemporaryDirectory() as folder:
        create(args.model, folder)
        memory = {
            operation: {side: peak_mib(folder, side, operation, args) for side in SIDES}
            for operation in (OPERATIONS if args.memory else ())
        }
        theirs, ours = Diffusers(folder, args.threads), Ours(folder, args.chunk)
        for operation, x in inputs(args).items():
            row[operation] = compare(ours, theirs, operation, x, args.pairs)
            if peaks := memory.get(operation):
                row[operation] |= {f"{side}_peak_mib": peaks[side] for side in SIDES}
                row[operation]["memory_ratio"] = round(peaks["ours"] / peaks["diffusers"], 3)
    row |= {"threads": args.threads, "cpu": platform.processor() or platform.machine()}
    row |= {"jax": jax.__version__, "torch": torch.__version__}
    print(json.dumps(row | {"diffusers": diffusers.__version__}))


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="wan21")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=4, help="frames at a time; 0 for all")
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch; ours takes what the process may use"
    )
    parser.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, default=True, help="peaks of memory too"
    )
    parser.add_argument(
        "--child", nargs=3, metavar=("SIDE", "OPERATION", "DIR"), help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    if args.frames % 4 != 1 or args.chunk % 4 or args.size % 16:
        parser.error("--frames is 1 + 4k, --chunk a multiple of 4, and --size of 16")
    return args


if __name__ == "__main__":
    main()
