"""A second implementation of VDVAE (arXiv 2011.10650) in torch, with the authors' names.

Written from the paper and the authors' files, as a reference where their code is not available;
benchmarks/vdvae_vs_torch.py --parity compares with their code. Feature maps are [b c h w].
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

StateDict = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]


class Layout:
    """Blocks and widths, parsed from a recipe's strings."""

    def __init__(self, model: dict):
        self.encoder = _blocks(model["enc_blocks"], "d")
        self.decoder = _blocks(model["dec_blocks"], "m")
        self.size, self.zdim = model["image_size"], model["zdim"]
        special = dict(pair.split(":") for pair in model["custom_widths"].split(",") if pair)
        resolutions = {res for res, _ in self.decoder}
        self.widths = {res: int(special.get(str(res), model["width"])) for res in resolutions}
        self.biased = sorted(res for res in resolutions if res <= model["no_bias_above"])
        self.mixtures = model["likelihood"]["num_mixtures"]
        self.shift, self.scale = model["input_shift"], model["input_scale"]

    def shapes(self) -> Shapes:
        """Return the shape of every tensor of the authors' module."""
        out_width = self.widths[self.size]
        shapes = _conv("encoder.in_conv", 3, out_width, 3)
        for index, (res, _) in enumerate(self.encoder):
            shapes |= _block(
                f"encoder.enc_blocks.{index}",
                res,
                self.widths[res],
                self.widths[res],
                self.widths[res],
            )
        for index, (res, _) in enumerate(self.decoder):
            name, width = f"decoder.dec_blocks.{index}", self.widths[res]
            shapes |= _block(f"{name}.enc", res, 2 * width, width, 2 * self.zdim)
            shapes |= _block(f"{name}.prior", res, width, width, 2 * self.zdim + width)
            shapes |= _conv(f"{name}.z_proj", self.zdim, width, 1)
            shapes |= _block(f"{name}.resnet", res, width, width, width)
        for index, res in enumerate(self.biased):
            shapes[f"decoder.bias_xs.{index}"] = (1, self.widths[res], res, res)
        shapes |= _conv("decoder.out_net.out_conv", out_width, 10 * self.mixtures, 1)
        return shapes | dict.fromkeys(("decoder.gain", "decoder.bias"), (1, out_width, 1, 1))


def random_state_dict(layout: Layout, seed: int) -> StateDict:
    """Return random tensors, also for weights that start at zero and would hide half of the model.

    Weights before a sum are small, like trained ones: means and deviations stay in the range of
    images, where the authors' likelihood does not use its approximation.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        ends = ".c4." in name or "z_proj" in name or "out_conv" in name
        fan_in = math.prod(shape[1:]) if name.endswith("weight") else 1
        return torch.randn(shape, generator=generator) * (0.2 if ends else 0.7) * fan_in**-0.5

    return {name: draw(name, shape) for name, shape in layout.shapes().items()}


class Restated:
    """The model of a state dict, whose tensors may require gradients."""

    def __init__(self, layout: Layout, tensors: StateDict):
        self.layout, self.tensors = layout, tensors

    def infer(
        self, image: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Return mixture parameters [b h w p], and each layer's KL [b c h w] and z."""
        activations = self._encode(image)
        states, kls, latents = self._starts(len(image)), [], []
        for index in range(len(self.layout.decoder)):
            x = self._entering(states, index)
            name = f"decoder.dec_blocks.{index}"
            res = self.layout.decoder[index][0]
            mean, log_sigma = self._block(f"{name}.enc", torch.cat([x, activations[res]], 1)).chunk(
                2, 1
            )
            prior_mean, prior_log_sigma, features = self._prior(name, x)
            variance_ratio = (2 * (log_sigma - prior_log_sigma)).exp()
            distance = (mean - prior_mean) ** 2 * (-2 * prior_log_sigma).exp()
            kls.append(0.5 * (variance_ratio + distance - 1) + prior_log_sigma - log_sigma)
            latents.append(mean + log_sigma.exp() * noise[index])
            states[res] = self._leaving(name, x + features, latents[-1])
        return self._head(states), kls, latents

    def generate(
        self,
        latents: Sequence[torch.Tensor],
        noise: Sequence[torch.Tensor],
        temperatures: Sequence[float],
    ) -> torch.Tensor:
        """Return mixture parameters, given the first latents; the rest come from the prior."""
        states = self._starts(len(noise[0]))
        for index, (res, _) in enumerate(self.layout.decoder):
            name, x = f"decoder.dec_blocks.{index}", self._entering(states, index)
            mean, log_sigma, features = self._prior(name, x)
            drawn = mean + (log_sigma + math.log(temperatures[index])).exp() * noise[index]
            z = latents[index] if index < len(latents) else drawn
            states[res] = self._leaving(name, x + features, z)
        return self._head(states)

    def _encode(self, image: torch.Tensor) -> dict[int, torch.Tensor]:
        normalised = (image.float() + self.layout.shift) * self.layout.scale
        x = self._conv("encoder.in_conv", normalised.permute(0, 3, 1, 2))
        activations = {self.layout.size: x}
        for index, (_, pool) in enumerate(self.layout.encoder):
            x = x + self._block(f"encoder.enc_blocks.{index}", x)
            x = functional.avg_pool2d(x, pool) if pool else x
            missing = self.layout.widths[x.shape[2]] - x.shape[1]
            x = functional.pad(x, (0, 0, 0, 0, 0, missing))
            activations[x.shape[2]] = x
        return activations

    def _starts(self, batch: int) -> dict[int, torch.Tensor]:
        biases = {
            res: self.tensors[f"decoder.bias_xs.{index}"]
            for index, res in enumerate(self.layout.biased)
        }
        return {
            res: biases[res].expand(batch, -1, -1, -1)
            if res in biases
            else torch.zeros(batch, width, res, res)
            for res, width in self.layout.widths.items()
        }

    def _entering(self, states: dict[int, torch.Tensor], index: int) -> torch.Tensor:
        res, mixin = self.layout.decoder[index]
        if mixin is None:
            return states[res]
        coarse = states[mixin][:, : self.layout.widths[res]]
        return states[res] + functional.interpolate(coarse, scale_factor=res // mixin)

    def _prior(self, name: str, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zdim = self.layout.zdim
        mean, log_sigma, features = self._block(f"{name}.prior", x).split(
            [zdim, zdim, x.shape[1]], 1
        )
        return mean, log_sigma, features

    def _leaving(self, name: str, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        x = x + self._conv(f"{name}.z_proj", z)
        return x + self._block(f"{name}.resnet", x)

    def _head(self, states: dict[int, torch.Tensor]) -> torch.Tensor:
        x = states[self.layout.size] * self.tensors["decoder.gain"] + self.tensors["decoder.bias"]
        return self._conv("decoder.out_net.out_conv", x).permute(0, 2, 3, 1)

    def _block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        for conv in ("c1", "c2", "c3", "c4"):
            x = self._conv(f"{name}.{conv}", functional.gelu(x))
        return x

    def _conv(self, name: str, x: torch.Tensor) -> torch.Tensor:
        weight = self.tensors[f"{name}.weight"]
        return functional.conv2d(
            x, weight, self.tensors[f"{name}.bias"], padding=weight.shape[2] // 2
        )


def distortion(params: torch.Tensor, image: torch.Tensor, *, low_bit: bool = False) -> torch.Tensor:
    """Return -log p [b] of uint8 images in the authors' form: 8 bits, or 5 bits with `low_bit`."""
    mixtures = params.shape[-1] // 10
    half, density_to_mass = (1 / 31, math.log(15.5)) if low_bit else (1 / 255, math.log(127.5))
    x = (image.float() / 127.5 - 1)[..., None]
    rest = params[..., mixtures:].unflatten(-1, (3, 3 * mixtures))
    means, log_scales, coefficients = rest.split(mixtures, -1)
    log_scales, coefficients = log_scales.clamp(min=-7), coefficients.tanh()
    carried = torch.stack(
        [
            torch.zeros_like(means[..., 0, :]),
            coefficients[..., 0, :] * x[..., 0, :],
            coefficients[..., 1, :] * x[..., 0, :] + coefficients[..., 2, :] * x[..., 1, :],
        ],
        dim=-2,
    )
    centred, inverse = x - means - carried, (-log_scales).exp()
    upper, lower, middle = inverse * (centred + half), inverse * (centred - half), inverse * centred
    mass = upper.sigmoid() - lower.sigmoid()
    density = middle - log_scales - 2 * functional.softplus(middle) - density_to_mass
    inside = torch.where(mass > 1e-5, mass.clamp(min=1e-12).log(), density)
    at_top = torch.where(x > 0.999, -functional.softplus(lower), inside)
    log_mass = torch.where(x < -0.999, upper - functional.softplus(upper), at_top).sum(-2)
    return -(params[..., :mixtures].log_softmax(-1) + log_mass).logsumexp(-1).sum((1, 2))


def _blocks(text: str, letter: str) -> list[tuple[int, int | None]]:
    """Parse `8x2,4d2` to [(8, None), (8, None), (4, 2)]."""
    blocks: list[tuple[int, int | None]] = []
    for token in text.split(","):
        if "x" in token:
            res, count = token.split("x")
            blocks += [(int(res), None)] * int(count)
        else:
            res, other = token.split(letter)
            blocks.append((int(res), int(other)))
    return blocks


def _conv(name: str, inputs: int, outputs: int, size: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs, size, size), f"{name}.bias": (outputs,)}


def _block(name: str, res: int, inputs: int, width: int, outputs: int) -> Shapes:
    size, middle = 3 if res > 2 else 1, width // 4
    convs = {"c1": (inputs, middle, 1), "c2": (middle, middle, size), "c3": (middle, middle, size)}
    convs["c4"] = (middle, outputs, 1)
    return {
        key: shape
        for conv, sizes in convs.items()
        for key, shape in _conv(f"{name}.{conv}", *sizes).items()
    }
