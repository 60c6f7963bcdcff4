"""LPIPS agrees with the authors' package; MS-SSIM and the discriminators agree with torch.

LPIPS is compared on the same random trunk with the released heads. The lpips package takes its
trunks from torchvision; only the order of their layers is needed, and is written out here. If torch
is installed but lpips is not, the test fails: `make parity` installs lpips (torchvision would bring
another torch).
"""

import importlib
import importlib.util
import pathlib
import sys
import types

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from torch import nn  # noqa: E402

from pipeline.discriminators import patchgan  # noqa: E402
from pipeline.distances.ms_ssim import ms_ssim  # noqa: E402
from pipeline.formats import weight_files  # noqa: E402
from pipeline.frozen import lpips as ours  # noqa: E402

pytestmark = pytest.mark.parity


def heads_of(name):
    """Return the file of learned heads in the package, without importing it."""
    found = importlib.util.find_spec("lpips")
    assert found and found.origin, "the lpips package is missing: make parity installs it"
    return pathlib.Path(found.origin).parent / "weights" / "v0.1" / f"{name}.pth"


def vgg16():
    layers, channels = [], 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class Fire(nn.Module):
    def __init__(self, channels, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def squeezenet():
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    layers = [
        nn.Conv2d(3, 64, 3, 2),
        nn.ReLU(),
        pool(),
        Fire(64, 16, 64),
        Fire(128, 16, 64),
        pool(),
    ]
    layers += [
        Fire(128, 32, 128),
        Fire(256, 32, 128),
        pool(),
        Fire(256, 48, 192),
        Fire(384, 48, 192),
    ]
    return nn.Sequential(*layers, Fire(384, 64, 256), Fire(512, 64, 256))


@pytest.fixture
def package(monkeypatch):
    """Import the lpips package with this file's layers in place of torchvision."""
    stub, models = types.ModuleType("torchvision"), types.ModuleType("torchvision.models")
    for name, layers in (("vgg16", vgg16), ("squeezenet1_1", squeezenet)):
        setattr(
            models,
            name,
            lambda pretrained=False, layers=layers: types.SimpleNamespace(features=layers()),
        )
    stub.models = models  # pyright: ignore
    monkeypatch.setitem(sys.modules, "torchvision", stub)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    return importlib.import_module("lpips")


def images(height, width, seed):
    a = np.random.default_rng(seed).uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
    return a, np.clip(a + 0.3 * np.random.default_rng(seed + 1).normal(size=a.shape), -1, 1).astype(
        np.float32
    )


def chw(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


@pytest.mark.parametrize(
    "network, name, size", [("vgg16", "vgg", (64, 48)), ("squeezenet", "squeeze", (65, 50))]
)
@pytest.mark.parametrize("zip_form", [True, False], ids=["zip", "legacy"])
def test_lpips_is_the_packages(package, tmp_path, network, name, size, zip_form):
    torch.manual_seed(0)
    heads = heads_of(name)
    theirs = package.LPIPS(net=name, pnet_rand=True, model_path=str(heads), verbose=False)
    trunk = {}
    for part in (getattr(theirs.net, f"slice{i + 1}") for i in range(theirs.net.N_slices)):
        trunk |= {f"features.{key}": value for key, value in part.state_dict().items()}
    # Features as large as a trained network's, instead of fading away.
    trunk = {key: value * (2.0 if key.endswith("weight") else 1.0) for key, value in trunk.items()}
    for part in (getattr(theirs.net, f"slice{i + 1}") for i in range(theirs.net.N_slices)):
        part.load_state_dict({key: trunk[f"features.{key}"] for key in part.state_dict()})
    file = tmp_path / "trunk.pth"
    torch.save(trunk, file, _use_new_zipfile_serialization=zip_form)
    distance, weights = ours.create(network, weights=str(file), heads=str(heads))
    weights = jax.tree.map(jnp.asarray, weights)
    distance_of = jax.jit(distance)
    gradient_of = jax.jit(jax.grad(lambda x, a, weights: distance(weights, a, x).sum()))
    gradients = []
    # An activation within rounding of 0 takes either side of its ReLU, and then the gradients of
    # the two differ. Which images have one depends on the processor; a wrong gradient fits none.
    for seed in (7, 3, 11, 13, 17):
        a, b = images(*size, seed=seed)
        expected = theirs(chw(a), chw(b)).flatten().detach().numpy()
        found = distance_of(weights, a, b)
        print(f"{network}: {found} against {expected}")
        np.testing.assert_allclose(found, expected, rtol=2e-5)
        x = chw(b).requires_grad_()
        theirs(chw(a), x).sum().backward()
        expected = np.moveaxis(x.grad.numpy(), 1, -1)
        error = np.abs(gradient_of(b, a, weights) - expected).max() / np.abs(expected).max()
        gradients.append(float(error))
        if error < 2e-4:
            break
    assert min(gradients) < 2e-4, gradients


@pytest.mark.parametrize("name", ["vgg", "squeeze", "alex"])
def test_heads_read_without_torch_are_torchs(name):
    file = heads_of(name)
    expected = torch.load(file, map_location="cpu", weights_only=True)
    found = weight_files.load(str(file))
    assert found.keys() == expected.keys()
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key].numpy())


def test_strided_tensors_of_all_kinds_are_read(tmp_path):
    shared = torch.arange(24, dtype=torch.float32)
    content = dict(
        view=shared.view(4, 6).t(),
        part=shared[3:9],
        half=torch.randn(3, 4).half(),
        number=torch.tensor(7),
        none=torch.zeros(0, 3),
        parameter=nn.Parameter(torch.randn(2)),
    )
    for zip_form in (True, False):
        torch.save(content, tmp_path / "t.pth", _use_new_zipfile_serialization=zip_form)
        for key, array in weight_files.load(str(tmp_path / "t.pth")).items():
            np.testing.assert_array_equal(array, content[key].detach().numpy())


def test_ms_ssim_is_pytorch_msssims():
    package = importlib.import_module("pytorch_msssim")
    rng = np.random.default_rng(0)
    smooth = rng.uniform(-1, 1, (2, 12, 11, 3)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    noisy = np.clip(smooth + 0.1 * rng.normal(size=smooth.shape), -1, 1).astype(np.float32)
    expected = package.ms_ssim(
        (chw(smooth) + 1) / 2, (chw(noisy) + 1) / 2, data_range=1.0, size_average=False
    )
    found = ms_ssim(jnp.asarray(smooth), jnp.asarray(noisy))
    print(f"MS-SSIM: {found} against {expected.numpy()}")
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def authors_discriminator(dims, num_layers, channels):
    """Return convolutions, batch norms and leaky ReLUs in the authors' order, without dropout.

    The authors are latent diffusion's (2 dimensions) and WF-VAE's (3).
    """
    conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dims]
    size = {2: 4, 3: 3}[dims]
    layers, width = [conv(3, channels, size, 2, 1), nn.LeakyReLU(0.2)], channels
    for number in range(1, num_layers + 1):
        wider = channels * min(2**number, 8)
        stride = 1 if number == num_layers else 2 if dims == 2 else (2 if number == 1 else 1, 2, 2)
        layers += [conv(width, wider, size, stride, 1, bias=False), norm(wider), nn.LeakyReLU(0.2)]
        width = wider
    return nn.Sequential(*layers, conv(width, 1, size, 1, 1))


@pytest.mark.parametrize(
    "kind, num_layers, shape",
    [("2D", 3, (2, 64, 48, 3)), ("3D", 4, (2, 9, 32, 48, 3)), ("3D", 3, (2, 5, 32, 32, 3))],
)
def test_discriminators_are_the_authors(kind, num_layers, shape):
    torch.manual_seed(0)
    theirs = authors_discriminator(int(kind[0]), num_layers, 8)
    model = getattr(patchgan, f"PatchGAN{kind}")(
        channels=8, num_layers=num_layers, norm="batch", rngs=nnx.Rngs(0)
    )
    convs = [layer for layer in theirs if isinstance(layer, nn.Conv2d | nn.Conv3d)]
    norms = [layer for layer in theirs if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d)]
    for layer, mine in zip(convs, model.convs):
        axes = (*range(2, layer.weight.ndim), 1, 0)
        mine.kernel[...] = jnp.asarray(layer.weight.detach().numpy().transpose(axes))
        if layer.bias is not None:
            mine.bias[...] = jnp.asarray(layer.bias.detach().numpy())
    for layer, mine in zip(norms, [norm for norm in model.norms if norm is not None]):
        nn.init.normal_(layer.weight, 1.0, 0.1)
        mine.scale[...] = jnp.asarray(layer.weight.detach().numpy())
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    expected = theirs(chw(x))[:, 0].detach().numpy()
    np.testing.assert_allclose(model(jnp.asarray(x)), expected, atol=2e-5)
