"""The released weights of TAESD, read by `strata import`, give torch's PSNR on Kodak's pictures."""

import pathlib

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from torch.nn import functional  # noqa: E402

from pipeline import Codec, cli  # noqa: E402

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
FILES = [DATA / "weights" / f"taef2_{side}.pth" for side in ("encoder", "decoder")]

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the weights and photographs of {DATA}"),
]


class Torch:
    """The encoder or the decoder, built from its state dict; layers are found by their numbers."""

    def __init__(self, file):
        self.tensors = {
            name: t.float()
            for name, t in torch.load(file, map_location="cpu", weights_only=True).items()
        }

    def conv(self, name, x, **settings):
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors.get(f"{name}.bias")
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, **settings)

    def block(self, name, x):
        if f"{name}.pool.0.weight" in self.tensors:
            scale, shift = (self.tensors[f"{name}.pool.1.{leaf}"] for leaf in ("weight", "bias"))
            wide = functional.group_norm(self.conv(f"{name}.pool.0", x), 4, scale, shift)
            x = x + self.conv(f"{name}.pool.3", wide.relu())
        h = x
        for place in (0, 2, 4):
            h = self.conv(f"{name}.conv.{place}", h.relu() if place else h)
        return (h + x).relu()

    def encode(self, x):
        x = self.block("1", self.conv("0", x))
        for place in range(2, 14):
            x = (
                self.conv(str(place), x, stride=2)
                if place in (2, 6, 10)
                else self.block(str(place), x)
            )
        return self.conv("14", x)

    def decode(self, z):
        x = self.conv("1", 3 * torch.tanh(z / 3)).relu()
        for place in range(3, 19):
            if place in (6, 11, 16):
                x = functional.interpolate(x, scale_factor=2)
            else:
                x = self.conv(str(place), x) if place in (7, 12, 17) else self.block(str(place), x)
        return self.conv("19", x)


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    out = tmp_path_factory.mktemp("taef2") / "codec"
    assert (
        cli.dispatch(
            ["import", "--from", "taesd", *map(str, FILES), "--out", str(out), "--license", "mit"]
        )
        == 0
    )
    return Codec.from_pretrained(out)


def psnr(image, other):
    error = np.mean((image.astype(np.float64) - other.astype(np.float64)) ** 2)
    return 10 * np.log10(255**2 / error)


def test_psnr_of_the_photographs_is_that_of_torch(codec):
    encoder, decoder = (Torch(file) for file in FILES)
    ours, theirs = [], []
    for path in sorted((DATA / "images" / "kodak").glob("*.png")):
        image = np.asarray(Image.open(path).convert("RGB"))
        with torch.no_grad():
            x = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
            z = encoder.encode(x)
            recon = (decoder.decode(z).clamp(0, 1) * 255).round().byte()[0].permute(1, 2, 0).numpy()
        latents = np.asarray(codec.encode(image[None]).mode())
        np.testing.assert_allclose(latents[0], z[0].permute(1, 2, 0), atol=2e-3)
        ours.append(psnr(image, np.asarray(codec.decode(latents))[0]))
        theirs.append(psnr(image, recon))
        assert abs(ours[-1] - theirs[-1]) < 0.01, path.name
    print(f"{len(ours)} photographs: {np.mean(ours):.4f} dB, in torch {np.mean(theirs):.4f} dB")
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.01 and len(ours) >= 12


def test_the_real_weights_are_of_the_published_size(codec):
    sizes = [
        sum(a.size for n, a in codec.weights.items() if n.startswith(side))
        for side in ("encoder", "decoder")
    ]
    assert sizes == [1_338_528, 1_338_499]
