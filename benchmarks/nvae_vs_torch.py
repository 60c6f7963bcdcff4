"""Compare NVAE with the authors' torch code (NVlabs/NVAE, non-commercial licence).

    git clone https://github.com/NVlabs/NVAE
    python benchmarks/nvae_vs_torch.py --peer NVAE [--config configs/nvae/cifar10.py] \\
        [--channels 8 --groups 2,3]
    python benchmarks/nvae_vs_torch.py --peer NVAE --speed \\
        [--config configs/nvae/small.py --batch_size 8]

Both get the same random weights, running statistics, images and noise, in float32: once normalized
by running statistics as in evaluation, once by the batch's as in training. Prints one JSON row with
the largest relative difference of the KL of any group, of the distortion, and of the sum of
spectral norms; fails if one of the first two is above 1e-4. --count only compares the recipe's
number of parameters. --speed times alternating training steps: forward, backward, spectral norms by
four power iterations, Adamax, all in float32; and ours without spectral norms.

Images have no value of 254: the authors' 8-bit likelihood treats it as the brightest value too, so
that it sums to more than 1; ours does not. Their synchronized batch norms need CUDA, and are
replaced by torch's batch norms here.
"""

import argparse
import importlib
import json
import math
import runpy
import sys
import types
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import step_pairs
import torch
from flax import nnx

from pipeline import build
from pipeline.core import parameters
from pipeline.core.reduce import layer_rates
from pipeline.losses import spectral

TOLERANCE = 1e-4
DATASETS = {(28, 1): "mnist", (32, 3): "cifar10", (64, 3): "celeba_64", (256, 3): "ffhq"}


class Peer:
    """The authors' AutoEncoder with the settings of our recipe, on the CPU."""

    def __init__(self, model: dict):
        # Masks are made on CUDA, and logs go to tensorboardX; neither is needed.
        torch.Tensor.cuda = lambda self, *args, **kw: self
        logs: Any = types.ModuleType("tensorboardX")
        logs.SummaryWriter = object
        sys.modules.setdefault("tensorboardX", logs)
        names = ("utils", "distributions", "model")
        self.utils, self.distributions, code = (importlib.import_module(name) for name in names)
        self.bits = model["likelihood"].get("bits", 8)
        groups, length = model["groups"][::-1], model["blocks"][0]
        halved = len(groups) > 1 and groups[0] != groups[1]
        settings = dict(
            dataset=DATASETS[model["image_size"], model["image_channels"]],
            use_se=True,
            res_dist=True,
            num_x_bits=self.bits,
            num_latent_scales=len(groups),
            num_groups_per_scale=groups[0],
            num_latent_per_group=model["latent_dim"],
            ada_groups=halved,
            min_groups_per_scale=groups[-1],
            num_channels_enc=model["channels"],
            num_channels_dec=model["channels"],
            num_preprocess_blocks=len(model["blocks"]),
            num_preprocess_cells=length,
            num_cell_per_cond_enc=model["cells"],
            num_postprocess_blocks=len(model["blocks"]),
            num_postprocess_cells=length,
            num_cell_per_cond_dec=model["cells"],
            num_mixture_dec=model["likelihood"].get("num_mixtures", 10),
            num_nf=model["num_flows"],
        )
        self.module = code.AutoEncoder(
            SimpleNamespace(**settings), None, self.utils.get_arch_cells("res_mbconv")
        )
        self.crop = self.module.crop_output
        for layer in self.module.modules():
            if type(layer).__name__ in ("SyncBatchNorm", "SyncBatchNormSwish") and hasattr(
                layer, "running_mean"
            ):
                layer.forward = _batch_norm(layer, swish="Swish" in type(layer).__name__)

    def count(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())

    def shake(self, seed: int) -> None:
        """Move weights, scales and running statistics away from their initial values."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in self.module.state_dict().items():
                if tensor.is_floating_point() and "weight_normalized" not in name:
                    scale = 0.2 if "running_mean" in name or "log_weight_norm" in name else 0.02
                    tensor += scale * torch.randn(tensor.shape, generator=generator)

    def trainer(self, image: np.ndarray, optimizer: dict, spectral: float):
        """Return a function that takes a training step without averaging or scaling gradients."""
        adamax = torch.optim.Adamax(
            self.module.parameters(),
            optimizer["learning_rate"],
            eps=optimizer["eps"],
            weight_decay=optimizer["l2"],
        )
        x = self.utils.pre_process(
            torch.tensor(image.transpose(0, 3, 1, 2), dtype=torch.float32) / 255, self.bits
        )

        def step() -> float:
            self.module.train()
            adamax.zero_grad()
            logits, _, _, kl, _ = self.module(x)
            distortion = self.utils.reconstruction_loss(
                self.module.decoder_output(logits), x, crop=self.crop
            )
            loss = (distortion + sum(kl)).mean()
            loss = loss + spectral * (
                self.module.spectral_norm_parallel() + self.module.batchnorm_loss()
            )
            loss.backward()
            adamax.step()
            return loss.item()

        return step

    def measure(self, image: np.ndarray, noise: list[np.ndarray], *, train: bool) -> dict:
        """Return the KL per group [b l] and distortion [b], in nats, and the sum of spectral norms.

        Spectral norms are taken after 40 power iterations.
        """
        given = iter(noise)

        def same_noise(mean, sigma):
            eps = torch.tensor(next(given).transpose(0, 3, 1, 2))
            return eps * sigma + mean, eps

        vars(self.distributions)["sample_normal_jit"] = same_noise
        self.module.train(train)
        x = torch.tensor(image.transpose(0, 3, 1, 2), dtype=torch.float32) / 255
        if self.crop:
            x = torch.nn.functional.pad((x > 0.5).float(), (2, 2, 2, 2))
        x = self.utils.pre_process(x, self.bits)
        with torch.no_grad():
            logits, _, _, kl, _ = self.module(x)
            distortion = self.utils.reconstruction_loss(
                self.module.decoder_output(logits), x, crop=self.crop
            )
            norms = self.module.spectral_norm_parallel() + self.module.batchnorm_loss()
        return {
            "kl": torch.stack(kl, 1).numpy(),
            "distortion": distortion.numpy(),
            "norms": float(norms),
        }


def _batch_norm(layer, *, swish: bool):
    def forward(x):
        statistics = (layer.running_mean.clone(), layer.running_var.clone())
        y = torch.nn.functional.batch_norm(
            x, *statistics, layer.weight, layer.bias, layer.training, 0.05, layer.eps
        )
        return torch.nn.functional.silu(y) if swish else y

    return forward


class Converted:
    """Return the peer's tensors under our names."""

    def __init__(self, tensors: dict, model: Any):
        self.tensors, self.arrays = tensors, {}
        self.conv("stem", "encoder.stem")
        for index, cell in enumerate(model.encoder.before):
            self.encoder_cell(f"pre_process.{index}", f"encoder.before.{index}", cell)
        combiners = self.encoder(model.encoder)
        self.arrays["decoder.start.features"] = tensors["prior_ftr0"].transpose(1, 2, 0)
        self.decoder(model, ["enc0.1", *combiners[::-1]])
        for index, cell in enumerate(model.decoder.after):
            self.decoder_cell(f"post_process.{index}", f"decoder.after.{index}", cell)
        self.conv("image_conditional.1", "decoder.out")

    def encoder(self, encoder) -> list[str]:
        """Map their tower, one list of cells and combiners, bottom first.

        Returns the names of the combiners.
        """
        place, combiners = 0, []
        for at, scale in enumerate(encoder.scales):
            for number, cells in enumerate(scale.groups):
                for index, cell in enumerate(cells):
                    self.encoder_cell(
                        f"enc_tower.{place}", f"encoder.scales.{at}.groups.{number}.{index}", cell
                    )
                    place += 1
                if at < len(encoder.scales) - 1 or number < len(scale.groups) - 1:
                    combiners.append(f"enc_tower.{place}.conv")
                    place += 1
            if scale.down is not None:
                self.encoder_cell(f"enc_tower.{place}", f"encoder.scales.{at}.down", scale.down)
                place += 1
        return combiners

    def decoder(self, model, combiners: list[str]) -> None:
        place, ups, flows = 0, 0, 0
        for index, group in enumerate(model.decoder.groups):
            ours = f"decoder.groups.{index}"
            if index and model.latent_shapes[index] != model.latent_shapes[index - 1]:
                self.decoder_cell(
                    f"dec_tower.{place}", f"decoder.ups.{ups}", model.decoder.ups[ups]
                )
                place, ups = place + 1, ups + 1
            for number, cell in enumerate(group.cells):
                self.decoder_cell(f"dec_tower.{place}", f"{ours}.cells.{number}", cell)
                place += 1
            self.conv(f"dec_tower.{place}.conv", f"{ours}.merge")
            place += 1
            self.conv(combiners[index], f"{ours}.combine")
            self.conv(f"enc_sampler.{index}", f"{ours}.posterior")
            if index:
                self.conv(f"dec_sampler.{index - 1}.1", f"{ours}.prior")
            for number in range(len(group.flows)):
                for theirs, name in (("cell1", "first"), ("cell2", "second")):
                    cell = f"nf_cells.{flows}.{theirs}"
                    self.conv(f"{cell}.conv.convz.0", f"{ours}.flows.{number}.{name}.widen")
                    self.conv(f"{cell}.conv.convz.2", f"{ours}.flows.{number}.{name}.spread")
                    self.conv(f"{cell}.mu.conv_0", f"{ours}.flows.{number}.{name}.narrow")
                flows += 1

    def encoder_cell(self, theirs: str, ours: str, cell) -> None:
        for index in (0, 1):
            self.norm(f"{theirs}._ops.{index}.bn_act", f"{ours}.norm{index + 1}")
            self.conv(f"{theirs}._ops.{index}.conv_0", f"{ours}.conv{index + 1}")
        for index in range(4 if cell.skip is not None else 0):
            self.conv(f"{theirs}.skip.conv_{index + 1}", f"{ours}.skip.convs.{index}")
        self.gate(theirs, ours)

    def decoder_cell(self, theirs: str, ours: str, cell) -> None:
        # Where a cell enlarges, that is the first of their layers.
        branch, at = f"{theirs}._ops.0.conv", 1 if cell.up else 0
        self.norm(f"{branch}.{at}.bn", f"{ours}.norms.0")
        for index, name in ((1, "widen"), (2, "spread")):
            self.conv(f"{branch}.{at + index}.conv.0", f"{ours}.{name}")
            self.norm(f"{branch}.{at + index}.conv.1", f"{ours}.norms.{index}")
        self.conv(f"{branch}.{at + 3}", f"{ours}.narrow")
        self.norm(f"{branch}.{at + 4}.bn", f"{ours}.norms.3")
        if cell.up:
            self.conv(f"{theirs}.skip.1", f"{ours}.skip")
        self.gate(theirs, ours)

    def conv(self, theirs: str, ours: str) -> None:
        self.arrays[f"{ours}.kernel"] = self.tensors[f"{theirs}.weight"].transpose(2, 3, 1, 0)
        if f"{theirs}.bias" in self.tensors:
            self.arrays[f"{ours}.bias"] = self.tensors[f"{theirs}.bias"]
        if f"{theirs}.log_weight_norm" in self.tensors:
            self.arrays[f"{ours}.log_norm"] = self.tensors[f"{theirs}.log_weight_norm"].reshape(-1)

    def norm(self, theirs: str, ours: str) -> None:
        names = {
            "weight": "scale",
            "bias": "bias",
            "running_mean": "mean",
            "running_var": "variance",
        }
        self.arrays |= {
            f"{ours}.{name}": self.tensors[f"{theirs}.{their}"] for their, name in names.items()
        }

    def gate(self, theirs: str, ours: str) -> None:
        for index, name in ((0, "squeeze"), (2, "excite")):
            self.arrays[f"{ours}.gate.{name}.kernel"] = self.tensors[
                f"{theirs}.se.se.{index}.weight"
            ].T
            self.arrays[f"{ours}.gate.{name}.bias"] = self.tensors[f"{theirs}.se.se.{index}.bias"]


def compare(settings: dict, peer: Peer, image: np.ndarray) -> dict:
    peer.shake(seed=0)
    tensors = {name: tensor.numpy().copy() for name, tensor in peer.module.state_dict().items()}
    modeldef, params, model_state = parameters.abstract(
        lambda: build.model_factory(settings)(nnx.Rngs(0))
    )
    arrays = Converted(tensors, modeldef.merge(params, model_state)).arrays
    shapes = params | model_state
    wrong = sorted(arrays.keys() ^ shapes.keys()) or [
        n for n in shapes if arrays[n].shape != shapes[n].shape
    ]
    if wrong:
        raise SystemExit(f"the peer's weights do not fit: {wrong[:3]}")
    key, arrays = jax.random.key(1), jax.tree.map(jnp.asarray, arrays)
    starts = spectral.completed({}, spectral.shapes(modeldef, params, model_state))

    def run(arrays, image, train):
        model = modeldef.merge(arrays, arrays)
        out = model({"image": image}, key=key, train=train)
        norms, _ = spectral.penalty(model, starts, first=True)
        return layer_rates(out.latents), -out.recon.log_prob(image), norms

    noise = [
        np.asarray(jax.random.normal(jax.random.fold_in(key, layer), (len(image), *shape)))
        for layer, shape in enumerate(modeldef.merge(params, model_state).latent_shapes)
    ]
    report = {}
    for train in (False, True):
        kl, distortion, norms = map(
            np.asarray, jax.jit(run, static_argnums=2)(arrays, image, train)
        )
        theirs = peer.measure(image, noise, train=train)
        nats = {
            "kl_sum": float(theirs["kl"].sum(1).mean()),
            "distortion": float(theirs["distortion"].mean()),
        }
        report["train" if train else "eval"] = {
            "kl_of_a_group": float(np.abs(kl / theirs["kl"] - 1).max()),
            "distortion": float(np.abs(distortion / theirs["distortion"] - 1).max()),
            "spectral_norms": abs(float(norms) / theirs["norms"] - 1),
            "theirs": nats | {"norms": theirs["norms"]},
        }
    return report


def compare_speed(config: Any, peer: Peer, image: np.ndarray, pairs: int, steps: int) -> dict:
    config.batch_size = config.eval.batch_size = len(image)
    config.mesh.fsdp = 1
    settings = build.complete(config)
    step = peer.trainer(image, settings["optimizer"], settings["objective"]["spectral"]["weight"])
    row = step_pairs.compare_speed(settings, image, step, pairs, steps)
    config.objective.spectral.weight = 0.0
    without = step_pairs.compare_speed(build.complete(config), image, step, pairs, steps)
    quickest = [min(pair["ours_s"] for pair in part["pairs"]) for part in (row, without)]
    return row | {
        "spectral_share": round(1 - quickest[1] / quickest[0], 3),
        "without_spectral": without["pairs"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="a checkout of NVlabs/NVAE")
    parser.add_argument("--config", default="configs/nvae/cifar10.py")
    parser.add_argument("--channels", type=int, help="instead of the recipe's")
    parser.add_argument("--groups", help="instead of the recipe's, top first, such as 2,4")
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="training steps in turn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=3, help="steps a turn, of which the quickest counts"
    )
    parser.add_argument("--count", action="store_true", help="numbers of parameters alone")
    args = parser.parse_args()
    sys.path.insert(0, args.peer)
    torch.manual_seed(0)
    config = runpy.run_path(args.config)["get_config"]()
    config.model.channels = args.channels or config.model.channels
    if args.groups:
        config.model.groups = tuple(int(number) for number in args.groups.split(","))
    settings = build.complete(config)
    model = settings["model"]
    peer = Peer(model)
    ours = parameters.abstract(lambda: build.model_factory(settings)(nnx.Rngs(0)))[1]
    row = {"config": args.config, "channels": model["channels"], "groups": list(model["groups"])}
    row |= {
        "parameters": sum(math.prod(shape.shape) for shape in ours.values()),
        "theirs": peer.count(),
    }
    if args.count:
        print(json.dumps(row))
        return int(row["parameters"] != row["theirs"])
    shape = (args.batch_size, model["image_size"], model["image_size"], model["image_channels"])
    image = np.random.default_rng(0).integers(0, 254, shape, np.uint8)
    if args.speed:
        print(json.dumps(row | compare_speed(config, peer, image, args.pairs, args.steps)))
        return 0
    row |= compare(settings, peer, image)
    print(json.dumps(row | {"jax": jax.__version__, "torch": torch.__version__}))
    worst = max(
        row[mode][name] for mode in ("eval", "train") for name in ("kl_of_a_group", "distortion")
    )
    return int(worst > TOLERANCE or row["parameters"] != row["theirs"])


if __name__ == "__main__":
    sys.exit(main())
