"""A second implementation of WF-VAE (arXiv 2411.17459) in torch, with the authors' names.

Written from the paper and the authors' files, as a reference where their code is not available;
benchmarks/wf_vae_vs_torch.py --parity compares with their code. Clips are [b c t h w].
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch.nn import functional

StateDict = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]
EPS = 1e-6
FILTER = 0.3536  # coefficient of the wavelets over time, height and width
# High-pass axes among (time, height, width) of each band, in order; flat bands have no time.
BANDS = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
FLAT_BANDS = [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)]


class Sizes(NamedTuple):
    """Widths and numbers of blocks of the model."""

    base: int
    flow: int
    latents: int
    blocks: int
    connecting: int

    def shapes(self) -> Shapes:
        """Return the shape of every tensor of the authors' module except the filters."""
        return self._encoder() | self._decoder()

    def _encoder(self) -> Shapes:
        c, f = self.base, self.flow
        shapes = _conv("encoder.down1.0", 24, c, 3, 3) | _conv(
            "encoder.down2.0", c + f, 2 * c, 3, 3
        )
        for index in range(1, 1 + self.blocks):
            shapes |= _block(f"encoder.down1.{index}", c, c, flat=True)
            shapes |= _block(f"encoder.down2.{index}", 2 * c, 2 * c)
        shapes |= _conv(f"encoder.down1.{1 + self.blocks}.conv", c, c, 3, 3)
        shapes |= _conv(f"encoder.down2.{1 + self.blocks}.conv.conv", 2 * c, 2 * c, 3, 3, 3)
        shapes |= _conv("encoder.connect_l1", 12, f, 3, 3) | _conv(
            "encoder.connect_l2", 24, f, 3, 3
        )
        shapes |= _middle("encoder.mid", 2 * c + f, 4 * c, 4 * c)
        shapes |= _conv("encoder.conv_out.conv", 4 * c, 2 * self.latents, 3, 3, 3)
        return shapes | _norm("encoder.norm_out", 4 * c)

    def _decoder(self) -> Shapes:
        c, f, last = self.base, self.flow, self.blocks
        shapes = _conv("decoder.conv_in.conv", self.latents, 4 * c, 3, 3, 3)
        shapes |= _middle("decoder.mid", 4 * c, 4 * c, 4 * c + f)
        for index in range(last):
            shapes |= _block(f"decoder.up2.{index}", 4 * c, 4 * c)
            shapes |= _block(f"decoder.up1.{index}", 2 * c if index else 4 * c, 2 * c)
        shapes |= _conv(f"decoder.up2.{last}.conv.conv", 4 * c, 4 * c, 3, 3, 3)
        shapes |= _conv(f"decoder.up1.{last}.conv", 2 * c, 2 * c, 3, 3)
        shapes |= _block(f"decoder.up2.{last + 1}", 4 * c, 4 * c + f) | _block(
            f"decoder.up1.{last + 1}", 2 * c, 2 * c
        )
        shapes |= _block("decoder.layer.0", 2 * c, c) | _block("decoder.layer.1", c, c)
        for level, bands in ((1, 12), (2, 24)):
            for index in range(self.connecting):
                shapes |= _block(f"decoder.connect_l{level}.{index}", f, f)
            shapes |= _conv(f"decoder.connect_l{level}.{self.connecting}", f, bands, 3, 3)
        return shapes | _norm("decoder.norm_out", c) | _conv("decoder.conv_out", c, 24, 3, 3)


def random_state_dict(sizes: Sizes, seed: int) -> StateDict:
    """Return random tensors, norms around one and zero, and filters that an importer skips."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        noise = torch.randn(shape, generator=generator)
        if "norm" in name:
            return 0.3 * noise + name.endswith("weight")
        return noise * (0.7 * math.prod(shape[1:]) ** -0.5 if name.endswith("weight") else 0.1)

    tensors = {name: draw(name, shape) for name, shape in sizes.shapes().items()}
    return tensors | {
        "encoder.wavelet_transform_in.h_conv.conv.weight": torch.full((1, 1, 2, 2, 2), FILTER)
    }


class Restated:
    """The model of a state dict; `time` is how frames are doubled, "trilinear" or "nearest"."""

    def __init__(self, sizes: Sizes, tensors: StateDict, time: str = "trilinear"):
        self.sizes, self.tensors, self.time = sizes, tensors, time

    def encode(self, clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log-variances [b d t h w] of a clip in [-1, 1]."""
        bands1 = _analyse(_with_first_twice(clip), BANDS, FILTER)
        bands2 = _analyse(bands1[:, :3], FLAT_BANDS, 0.5)
        bands3 = _analyse(_with_first_twice(bands2[:, :3]), BANDS, FILTER)
        last = 1 + self.sizes.blocks
        h = self._conv("encoder.down1.0", bands1)
        for index in range(1, last):
            h = self._block(f"encoder.down1.{index}", h)
        h = self._conv(f"encoder.down1.{last}.conv", h, stride=2)
        h = self._conv(
            "encoder.down2.0", torch.cat([h, self._conv("encoder.connect_l1", bands2)], dim=1)
        )
        for index in range(1, last):
            h = self._block(f"encoder.down2.{index}", h)
        h = self._conv(f"encoder.down2.{last}.conv.conv", h, stride=2)
        h = self._middle(
            "encoder.mid", torch.cat([h, self._conv("encoder.connect_l2", bands3)], dim=1)
        )
        h = self._conv("encoder.conv_out.conv", functional.silu(self._norm("encoder.norm_out", h)))
        mean, logvar = h.chunk(2, dim=1)
        return mean, logvar

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the clip [b 3 t h w] of latents [b d t h w]."""
        h, flow = self._parted(self._middle("decoder.mid", self._conv("decoder.conv_in.conv", z)))
        low2 = _synthesise(self._connect(2, flow), BANDS, FILTER)[:, :, 1:]
        h, flow = self._parted(self._up("decoder.up2", h))
        low1 = _synthesise(_added(self._connect(1, flow), low2), FLAT_BANDS, 0.5)
        h = self._up("decoder.up1", h)
        h = self._block("decoder.layer.1", self._block("decoder.layer.0", h))
        h = self._conv("decoder.conv_out", functional.silu(self._norm("decoder.norm_out", h)))
        return _synthesise(_added(h, low1), BANDS, FILTER)[:, :, 1:]

    def _parted(self, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Split off the last channels, which belong to the wavelets."""
        return h[:, : -self.sizes.flow], h[:, -self.sizes.flow :]

    def _connect(self, level: int, h: torch.Tensor) -> torch.Tensor:
        for index in range(self.sizes.connecting):
            h = self._block(f"decoder.connect_l{level}.{index}", h)
        return self._conv(f"decoder.connect_l{level}.{self.sizes.connecting}", h)

    def _up(self, name: str, h: torch.Tensor) -> torch.Tensor:
        last = self.sizes.blocks
        for index in range(last):
            h = self._block(f"{name}.{index}", h)
        if name == "decoder.up1":
            h = h.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
            h = self._conv(f"{name}.{last}.conv", h)
        else:
            h = self._conv(f"{name}.{last}.conv.conv", self._doubled(h))
        return self._block(f"{name}.{last + 1}", h)

    def _doubled(self, h: torch.Tensor) -> torch.Tensor:
        """Double height and width, and every frame except the first."""
        frames = [h[:, :, :1], h[:, :, 1:]]
        if h.shape[2] > 1:
            size = (2 * frames[1].shape[2], *h.shape[3:])
            frames[1] = functional.interpolate(frames[1], size=size, mode=self.time)
        h = torch.cat(frames, dim=2)
        return functional.interpolate(h, scale_factor=(1, 2, 2), mode="trilinear")

    def _middle(self, name: str, h: torch.Tensor) -> torch.Tensor:
        return self._block(f"{name}.2", self._attend(f"{name}.1", self._block(f"{name}.0", h)))

    def _attend(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Attend with one head over the pixels of each frame."""
        h = self._norm(f"{name}.norm", x)
        query, key, value = (self._conv(f"{name}.{part}.conv", h).flatten(3) for part in "qkv")
        scores = torch.einsum("bctn,bctm->btnm", query, key) * x.shape[1] ** -0.5
        mixed = torch.einsum("btnm,bctm->bctn", scores.softmax(dim=-1), value)
        return x + self._conv(f"{name}.proj_out.conv", mixed.reshape(x.shape))

    def _block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        end = "" if f"{name}.conv1.weight" in self.tensors else ".conv"
        h = x
        for part in "12":
            h = self._conv(
                f"{name}.conv{part}{end}", functional.silu(self._norm(f"{name}.norm{part}", h))
            )
        return h + (x if x.shape == h.shape else self._conv(f"{name}.nin_shortcut{end}", x))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Normalize over the channels of each pixel."""
        weight, bias = self._of(f"{name}.norm")
        return functional.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, EPS).movedim(
            -1, 1
        )

    def _conv(self, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        """Convolve clips, or each frame if the kernel has two dimensions."""
        weight, bias = self._of(name)
        in_time = weight.ndim == 5
        weight = weight if in_time else weight[:, :, None]
        taps, side = weight.shape[2], weight.shape[3] // 2
        x = torch.cat([x[:, :, :1]] * (taps - 1) + [x], dim=2)
        x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (side,) * 4)
        return functional.conv3d(x, weight, bias, stride=(stride if in_time else 1, stride, stride))

    def _of(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]


def _with_first_twice(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:, :, :1], x], dim=2)


def _added(bands: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    return torch.cat([bands[:, : low.shape[1]] + low, bands[:, low.shape[1] :]], dim=1)


def _corners(bands: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return positions within a cell of two rows and columns, and of one or two frames."""
    return list(itertools.product(range(1 + max(band[0] for band in bands)), (0, 1), (0, 1)))


def _sign(band: tuple[int, int, int], corner: tuple[int, int, int]) -> int:
    """Return a band: first minus second element along each axis in which it is high-pass."""
    return (-1) ** sum(high * place for high, place in zip(band, corner))


def _analyse(x: torch.Tensor, bands: list[tuple[int, int, int]], scale: float) -> torch.Tensor:
    corners = _corners(bands)
    frames = len(corners) // 4
    cells = {(t, i, j): x[:, :, t::frames, i::2, j::2] for t, i, j in corners}
    return torch.cat(
        [scale * sum(_sign(band, at) * cells[at] for at in corners) for band in bands], dim=1
    )


def _synthesise(x: torch.Tensor, bands: list[tuple[int, int, int]], scale: float) -> torch.Tensor:
    corners = _corners(bands)
    frames = len(corners) // 4
    parts = x.chunk(len(bands), dim=1)
    b, c, t, height, width = parts[0].shape
    out = x.new_zeros((b, c, frames * t, 2 * height, 2 * width))
    for at in corners:
        value = scale * sum(_sign(band, at) * part for band, part in zip(bands, parts))
        out[:, :, at[0] :: frames, at[1] :: 2, at[2] :: 2] = value
    return out


def _conv(name: str, into: int, out: int, *size: int) -> Shapes:
    return {f"{name}.weight": (out, into, *size), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.norm.weight": (width,), f"{name}.norm.bias": (width,)}


def _block(name: str, into: int, out: int, flat: bool = False) -> Shapes:
    end, size = ("", (3, 3)) if flat else (".conv", (3, 3, 3))
    shapes = _norm(f"{name}.norm1", into) | _norm(f"{name}.norm2", out)
    shapes |= _conv(f"{name}.conv1{end}", into, out, *size) | _conv(
        f"{name}.conv2{end}", out, out, *size
    )
    return shapes | (
        _conv(f"{name}.nin_shortcut{end}", into, out, *(1,) * len(size)) if into != out else {}
    )


def _middle(name: str, into: int, wide: int, out: int) -> Shapes:
    shapes = (
        _block(f"{name}.0", into, wide)
        | _norm(f"{name}.1.norm", wide)
        | _block(f"{name}.2", wide, out)
    )
    for part in ("q", "k", "v", "proj_out"):
        shapes |= _conv(f"{name}.1.{part}.conv", wide, wide, 1, 1, 1)
    return shapes
