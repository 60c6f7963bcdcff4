"""Compare our ViT-B/16 with transformers' in torch: forward, and forward with backward, in float32.

    pip install torch==2.13.0 transformers==5.24.0
    python benchmarks/vit_vs_torch.py [--batch 2] [--pairs 5]

Images have 256x256 pixels: 256 patches and a class token, 12 blocks of 768 channels. Both sides
have the same random weights, and one process alternates them, ours first, so that other load on the
machine affects both. The gradients are of the mean square of the patches' features with respect to
all parameters. Ratios are of medians, our time over theirs, by wall clock and by CPU time. Prints
one JSON row, with the largest difference of the features over their deviation.
"""

import argparse
import json
import os
import platform
import statistics

# Threads of torch that wait by spinning would take the cores from whoever runs next.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from kl_f8_vs_diffusers import timed

SIZE, PATCH = 256, 16


class Torch:
    """transformers' encoder of masked autoencoders, which masks nothing."""

    def __init__(self, images: np.ndarray, threads: int):
        import torch
        from transformers import ViTMAEConfig, ViTMAEModel

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch = torch
        self.model = ViTMAEModel(ViTMAEConfig(image_size=SIZE, mask_ratio=0.0)).eval()
        self.model.requires_grad_(True)
        self.x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        self.order = torch.arange((SIZE // PATCH) ** 2).expand(len(images), -1).float()

    def features(self):
        return self.model(self.x, noise=self.order).last_hidden_state[:, 1:]

    def forward(self) -> np.ndarray:
        with self.torch.no_grad():
            return self.features().numpy()

    def backward(self) -> None:
        self.model.zero_grad(set_to_none=True)
        self.features().square().mean().backward()


class Ours:
    """Our network with the same weights."""

    def __init__(self, images: np.ndarray, tensors: dict[str, np.ndarray]):
        import jax
        import jax.numpy as jnp

        from pipeline.backend.jit import compiler_options
        from pipeline.frozen.encoder import convert
        from pipeline.frozen.encoders import mae

        modeldef, arrays = convert(mae, tensors, {}, "weights", jnp.float32)
        self.weights, self.x = jax.device_put(arrays), jnp.asarray(images)
        self.wait = jax.block_until_ready

        def forward(weights, x):
            return modeldef.merge(weights)(x).patches

        def loss(weights, x):
            return jnp.square(forward(weights, x)).mean()

        options = compiler_options(jax.default_backend())

        def compiled(function):
            program = jax.jit(function, compiler_options=options)
            return program.lower(self.weights, self.x).compile()

        self.programs = {"forward": compiled(forward), "backward": compiled(jax.grad(loss))}

    def forward(self):
        return self.wait(self.programs["forward"](self.weights, self.x))

    def backward(self):
        return self.wait(self.programs["backward"](self.weights, self.x))


def compare(ours: Ours, theirs: Torch, operation: str, pairs: int) -> dict:
    """Return the times of alternating runs."""
    sides = getattr(ours, operation), getattr(theirs, operation)
    for run in sides:
        run()
    rows = [tuple(value for run in sides for value in timed(run)) for _ in range(pairs)]
    wall, cpu, their_wall, their_cpu = (statistics.median(column) for column in zip(*rows))
    return {
        "ours_s": round(wall, 3),
        "torch_s": round(their_wall, 3),
        "ratio": round(wall / their_wall, 3),
        "cpu_ratio": round(cpu / their_cpu, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch; ours takes what the process may use"
    )
    args = parser.parse_args()
    import jax
    import torch
    import transformers

    images = np.random.default_rng(0).normal(size=(args.batch, SIZE, SIZE, 3)).astype(np.float32)
    theirs = Torch(images, args.threads)
    state = {name: tensor.detach().numpy() for name, tensor in theirs.model.state_dict().items()}
    ours = Ours(images, state)
    reference = theirs.forward().reshape(args.batch, SIZE // PATCH, SIZE // PATCH, -1)
    difference = np.abs(np.asarray(ours.forward()) - reference).max() / reference.std()
    row: dict = {"benchmark": "vit_vs_torch", "batch": args.batch}
    for operation in ("forward", "backward"):
        row[operation] = compare(ours, theirs, operation, args.pairs)
    row |= {
        "largest_difference": float(difference),
        "pairs": args.pairs,
        "threads": args.threads,
        "cpu": platform.processor() or platform.machine(),
        "jax": jax.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
