"""Compare VDVAE's training step with the authors' torch code, alternately in one process.

    git clone https://github.com/openai/vdvae
    python benchmarks/vdvae_vs_torch.py --peer vdvae [--config configs/vdvae/cifar10.py] \\
        [--batch_size 4]
    python benchmarks/vdvae_vs_torch.py --peer vdvae --parity

A step is forward, backward, global-norm clipping, AdamW and EMA, in float32. Only the peer's vae.py
is imported: its train.py needs apex, MPI and CUDA. Prints one JSON row; the ratio is our time over
theirs (below 1 is faster), by wall clock and by CPU time, which other load disturbs less. --parity
instead gives both the same random weights, images and noise, and prints the largest relative
difference of the KL of any layer, of the distortion, and of the gradient's global norm; it fails
above 1e-4.
"""

import argparse
import copy
import json
import os
import runpy
import sys

# Threads of torch that wait by spinning would take the cores from whoever runs next.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import jax
import jax.numpy as jnp
import numpy as np
import step_pairs
import torch
from flax import nnx

from pipeline import build
from pipeline.core import parameters
from pipeline.core.reduce import layer_rates
from pipeline.importers import openai_vdvae as openai_vdvae_importer

TOLERANCE = 1e-4


class Peer:
    """The authors' module with our recipe's settings; their training step without MPI and CUDA."""

    def __init__(self, settings: dict, device: str):
        import hps
        import vae

        model = settings["model"]
        taken = ("enc_blocks", "dec_blocks", "width", "image_size")
        defaults = dict(zdim=16, bottleneck_multiple=0.25, no_bias_above=64, image_channels=3)
        names = hps.Hyperparams({name: model[name] for name in taken})
        names.update({name: model.get(name, default) for name, default in defaults.items()})
        names.update(custom_width_str=model.get("custom_widths", ""), dataset="")
        names.update(num_mixtures=model["likelihood"]["num_mixtures"])
        self.code, self.settings, self.device = vae, settings, device
        self.module = vae.VAE(names).to(device)
        self.average = copy.deepcopy(self.module).requires_grad_(False)
        o = settings["optimizer"]
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(),
            o["learning_rate"],
            betas=(o["b1"], o["b2"]),
            weight_decay=o["weight_decay"],
        )

    def inputs(self, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.tensor(image, dtype=torch.float32, device=self.device)
        model = self.settings["model"]
        return (pixels + model["input_shift"]) * model["input_scale"], pixels / 127.5 - 1

    def step(self, image: np.ndarray) -> float:
        self.module.zero_grad()
        stats = self.module(*self.inputs(image))
        stats["elbo"].backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.module.parameters(), self.settings["optimizer"]["clip_norm"]
        )
        if norm.item() < self.settings["optimizer"]["skip_norm"]:
            self.optimizer.step()
            rate = self.settings["ema"]
            with torch.no_grad():
                for parameter, average in zip(self.module.parameters(), self.average.parameters()):
                    average.mul_(rate).add_(parameter * (1 - rate))
        return stats["elbo"].item()

    def shake(self, seed: int) -> None:
        """Move weights away from the initialization, at which every prior is N(0, 1)."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.module.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += 0.02 * noise.to(self.device)

    def measure(self, image: np.ndarray, noise: list[np.ndarray]) -> dict:
        """Return the KL per layer and the distortion, in nats per example, and the gradient's norm.

        The gradient is of nats per dimension.
        """
        given = iter(noise)
        draw = self.code.draw_gaussian_diag_samples

        def same_noise(mean, log_sigma):
            return (
                torch.exp(log_sigma)
                * torch.tensor(next(given).transpose(0, 3, 1, 2), device=self.device)
                + mean
            )

        self.code.draw_gaussian_diag_samples = same_noise
        try:
            x, target = self.inputs(image)
            dims = image[0].size
            features, stats = self.module.decoder(self.module.encoder(x))
            distortion = self.module.decoder.out_net.nll(features, target) * dims
            kl = torch.stack([layer["kl"].sum(dim=(1, 2, 3)) for layer in stats], dim=1)
            self.module.zero_grad()
            ((distortion + kl.sum(dim=1)) / dims).mean().backward()
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), float("inf"))
        finally:
            self.code.draw_gaussian_diag_samples = draw
        return {
            "kl": kl.detach().cpu().numpy(),
            "distortion": distortion.detach().cpu().numpy(),
            "norm": norm.item(),
        }


def compare_values(settings: dict, peer: Peer, image: np.ndarray) -> dict:
    peer.shake(seed=0)
    modeldef, shapes, _ = parameters.abstract(lambda: build.model_factory(settings)(nnx.Rngs(0)))
    tensors = {name: tensor.cpu().numpy() for name, tensor in peer.module.state_dict().items()}
    params = openai_vdvae_importer.convert(tensors, shapes, path="the peer's state dict")
    key, dims = jax.random.key(1), image[0].size

    def objective(params, image):
        out = modeldef.merge(params)({"image": image}, key=key, train=True)
        kl, distortion = layer_rates(out.latents), -out.recon.log_prob(image)
        return jnp.mean(distortion + kl.sum(axis=1)) / dims, (kl, distortion)

    gradient, (kl, distortion) = jax.jit(jax.grad(objective, has_aux=True))(
        params, jnp.asarray(image)
    )
    norm = float(jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values())))
    layers = [(len(image), *shape) for shape in modeldef.merge(params).latent_shapes]
    noise = [
        np.asarray(jax.random.normal(jax.random.fold_in(key, at), shape))
        for at, shape in enumerate(layers)
    ]
    theirs = peer.measure(image, noise)
    relative = {
        "kl_of_a_layer": float(np.max(np.abs(np.asarray(kl) / theirs["kl"] - 1))),
        "distortion": float(np.max(np.abs(np.asarray(distortion) / theirs["distortion"] - 1))),
        "gradient_norm": abs(norm / theirs["norm"] - 1),
    }
    values = {
        "kl_sum": float(theirs["kl"].sum(axis=1).mean()),
        "distortion": float(theirs["distortion"].mean()),
    }
    return {
        "relative_difference": relative,
        "theirs": values | {"gradient_norm": theirs["norm"]},
        "layers": len(layers),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="a checkout of openai/vdvae")
    parser.add_argument(
        "--config", default="configs/vdvae/cifar10.py", help="a recipe, FILE or FILE:tiny"
    )
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=2, help="steps a turn, of which the quickest counts"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--device", default="cpu", help="where torch runs; ours runs on JAX's default device"
    )
    parser.add_argument("--parity", action="store_true")
    args = parser.parse_args()
    sys.path.insert(0, args.peer)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    path, _, argument = args.config.partition(":")
    config = runpy.run_path(path)["get_config"](argument)
    config.batch_size = config.eval.batch_size = args.batch_size
    settings = build.complete(config)
    size = settings["model"]["image_size"]
    image = np.random.default_rng(0).integers(0, 256, (args.batch_size, size, size, 3), np.uint8)
    peer = Peer(settings, args.device)
    row = {"config": args.config, "batch_size": args.batch_size, "threads": args.threads}
    row |= {
        "jax": jax.__version__,
        "torch": torch.__version__,
        "device": jax.devices()[0].device_kind,
    }
    if args.parity:
        row |= compare_values(settings, peer, image)
        print(json.dumps(row))
        return int(max(row["relative_difference"].values()) > TOLERANCE)
    print(
        json.dumps(
            row
            | step_pairs.compare_speed(
                settings, image, lambda: peer.step(image), args.pairs, args.steps
            )
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
