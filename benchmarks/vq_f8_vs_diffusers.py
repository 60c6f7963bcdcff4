"""Compare a training step of LDM's vq-f8 with diffusers' VQModel, in float32 on the same weights.

    pip install diffusers==0.42.1
    python benchmarks/vq_f8_vs_diffusers.py [--image_size 256] [--pairs 3]

A step is forward and backward of the mean squared error plus the codebook's and the commitment
loss, without an optimizer and a discriminator. One process alternates both, ours first, so that
other load on the machine affects both. Ratios are of medians, our time over theirs, by wall clock
and by CPU time. Prints one JSON row, with the time of the nearest-code search and of FSQ in its
place as a share of our step, and the share of indices in which the two models agree.
"""

import argparse
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from kl_f8_vs_diffusers import timed

BETA = 0.25
SETTINGS = dict(
    down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
    up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
    block_out_channels=(128, 256, 256, 512),
    layers_per_block=2,
    latent_channels=4,
    num_vq_embeddings=16_384,
)


def their_step(model, image):
    """Return a function without arguments that computes diffusers' loss and gradients."""

    def step():
        model.zero_grad()
        out = model(image)
        loss = (out.sample - image).square().mean() + out.commit_loss.mean()
        loss.backward()
        return loss.item()

    return step


def our_step(modeldef, params, image):
    """Return a function without arguments that computes our loss and gradients, compiled."""
    import jax
    import jax.numpy as jnp

    from pipeline.backend.jit import compiler_options

    def loss(params, x):
        outputs = modeldef.merge(params)({"image": x}, key=None, train=True)
        (vectors,), (codes,) = outputs.aux["vectors"], outputs.aux["codes"]
        still = jax.lax.stop_gradient
        error = jnp.square(outputs.recon.mean() - x).mean()
        codebook = jnp.square(codes - still(vectors)).mean()
        return error + codebook + BETA * jnp.square(vectors - still(codes)).mean()

    options = compiler_options(jax.default_backend())
    step = jax.jit(jax.value_and_grad(loss), compiler_options=options)
    compiled = step.lower(params, image).compile()
    return lambda: jax.block_until_ready(compiled(params, image))


def seconds_of_bottlenecks(num_vectors: int, codes) -> dict[str, float]:
    """Return the time of the nearest code of each vector, and of FSQ, forward and backward."""
    import jax
    import jax.numpy as jnp

    from pipeline.bottlenecks.fsq import FSQ
    from pipeline.quantization.nearest import nearest

    x = jax.random.normal(jax.random.key(0), (num_vectors, codes.shape[1]))
    fsq = FSQ(latent_channels=4, levels=(8, 8, 8, 32))
    functions = {
        "nearest_code": jax.jit(lambda x: nearest(x, codes)),
        "fsq": jax.jit(jax.grad(lambda x: jnp.square(fsq(x).z).sum())),
    }
    found = {}
    for name, function in functions.items():
        jax.block_until_ready(function(x))
        times = [timed(lambda: jax.block_until_ready(function(x)))[0] for _ in range(20)]  # noqa: B023
        found[name] = statistics.median(times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    args = parser.parse_args()
    import diffusers
    import jax
    import jax.numpy as jnp
    import torch

    from pipeline import cli
    from pipeline.codec import folder as codec_folder

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    image = np.random.default_rng(0).uniform(-1, 1, (1, args.image_size, args.image_size, 3))
    image = image.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = f"{folder}/theirs", f"{folder}/ours"
        diffusers.VQModel(**SETTINGS, sample_size=args.image_size).save_pretrained(theirs)
        model = diffusers.VQModel.from_pretrained(theirs)
        if cli.dispatch(["import", "--from", "diffusers", theirs, "--out", ours]):
            raise SystemExit("the import failed")
        modeldef, params, _, _ = codec_folder.read(pathlib.Path(ours))
    torch_image = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    began = time.perf_counter()
    step = our_step(modeldef, params, jnp.asarray(image))
    compile_s = time.perf_counter() - began
    reference = their_step(model, torch_image)
    loss, their_loss = float(step()[0]), reference()
    rows = [(*timed(step), *timed(reference)) for _ in range(args.pairs)]
    wall, cpu, their_wall, their_cpu = (statistics.median(column) for column in zip(*rows))
    latents = modeldef.merge(params).encode(jnp.asarray(image))
    with torch.no_grad():
        _, _, (_, _, indices) = model.quantize(model.encode(torch_image).latents)
    same = np.asarray(latents[0].indices).reshape(-1) == indices.numpy().reshape(-1)
    codes = modeldef.merge(params).bottleneck.codes()
    parts = seconds_of_bottlenecks(len(same), codes)
    print(
        json.dumps(
            {
                "benchmark": "vq_f8_vs_diffusers",
                "image_size": args.image_size,
                "pairs": args.pairs,
                "ours_s": round(wall, 3),
                "diffusers_s": round(their_wall, 3),
                "ratio": round(wall / their_wall, 3),
                "cpu_ratio": round(cpu / their_cpu, 3),
                "compile_s": round(compile_s, 1),
                "losses": [loss, their_loss],
                "equal_indices": float(same.mean()),
                "share_of_the_step": {
                    name: float(f"{seconds / wall:.2g}") for name, seconds in parts.items()
                },
                "jax": jax.__version__,
                "torch": torch.__version__,
                "diffusers": diffusers.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
