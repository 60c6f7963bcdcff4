"""FID's Inception v3 and FVD's I3D agree with the same networks in torch.

Weights are random, under the published names. The networks in torch are written as functions; a
unit's weights are created where it is first used.
"""

import pytest

torch = pytest.importorskip("torch", reason="parity needs torch: make parity")

import jax  # noqa: E402
import numpy as np  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from pipeline.formats import weight_files  # noqa: E402
from pipeline.frozen import i3d, inception  # noqa: E402

pytestmark = pytest.mark.parity


class Units:
    """Units of convolution, batch norm with running statistics (eps 1e-3) and ReLU.

    `tensors` is the state dict of all units that have run.
    """

    def __init__(self, conv):
        self.conv, self.tensors, self.rng = conv, {}, torch.Generator().manual_seed(0)

    def uniform(self, low, high, *shape):
        return torch.rand(shape, generator=self.rng) * (high - low) + low

    def __call__(self, name, x, width, kernel, stride=1, padding=0):
        shape, dims = (width, x.shape[1], *kernel), len(kernel)
        bound = (6 / np.prod(shape[1:])) ** 0.5
        ranges = dict(
            running_mean=(-0.1, 0.1), running_var=(0.5, 1.5), weight=(0.7, 1.3), bias=(-0.1, 0.1)
        )
        weight = self.tensors[f"{name}.{self.conv}.weight"] = self.uniform(-bound, bound, *shape)
        bn = {leaf: self.uniform(*between, width) for leaf, between in ranges.items()}
        self.tensors |= {f"{name}.bn.{leaf}": value for leaf, value in bn.items()}
        x = (F.conv2d if dims == 2 else F.conv3d)(x, weight, stride=stride, padding=padding)
        return F.batch_norm(x, *bn.values(), eps=1e-3).relu()


def inception_in_torch(units, x):
    """Return 2048 features of images [n 3 299 299]."""

    def unit(at, x, width, rows=1, columns=None, **settings):
        kernel = (rows, columns or rows)
        padding = 0 if settings.get("valid") else (kernel[0] // 2, kernel[1] // 2)
        return units(at, x, width, kernel, settings.get("stride", 1), padding)

    def chain(at, x, *steps):
        for name, *step in steps:
            x = unit(f"{at}.branch{name}", x, *step)
        return x

    def mean(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    def fine(at, x, pooled):
        double = (("3x3dbl_1", 64), ("3x3dbl_2", 96, 3), ("3x3dbl_3", 96, 3))
        parts = [
            chain(at, x, ("1x1", 64)),
            chain(at, x, ("5x5_1", 48), ("5x5_2", 64, 5)),
            chain(at, x, *double),
        ]
        return torch.cat([*parts, chain(at, mean(x), ("_pool", pooled))], 1)

    def middle(at, x, n):
        single = (("7x7_1", n), ("7x7_2", n, 1, 7), ("7x7_3", 192, 7, 1))
        ways = (
            ("7x7dbl_1", n),
            ("7x7dbl_2", n, 7, 1),
            ("7x7dbl_3", n, 1, 7),
            ("7x7dbl_4", n, 7, 1),
        )
        parts = [
            chain(at, x, ("1x1", 192)),
            chain(at, x, *single),
            chain(at, x, *ways, ("7x7dbl_5", 192, 1, 7)),
        ]
        return torch.cat([*parts, chain(at, mean(x), ("_pool", 192))], 1)

    def coarse(at, x, pooled):
        single = chain(at, x, ("3x3_1", 384))
        double = chain(at, x, ("3x3dbl_1", 448), ("3x3dbl_2", 384, 3))
        parts = [chain(at, x, ("1x1", 320))]
        for name, y in (("3x3_2", single), ("3x3dbl_3", double)):
            parts += [chain(at, y, (f"{name}a", 384, 1, 3)), chain(at, y, (f"{name}b", 384, 3, 1))]
        return torch.cat([*parts, chain(at, pooled, ("_pool", 192))], 1)

    def reduced(at, name, x, width):
        return unit(f"{at}.branch{name}", x, width, 3, stride=2, valid=True)

    x = unit("Conv2d_1a_3x3", x, 32, 3, stride=2, valid=True)
    x = unit("Conv2d_2b_3x3", unit("Conv2d_2a_3x3", x, 32, 3, valid=True), 64, 3)
    x = unit("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2), 80)
    x = F.max_pool2d(unit("Conv2d_4a_3x3", x, 192, 3, valid=True), 3, 2)
    for letter, pooled in zip("bcd", (32, 64, 64)):
        x = fine(f"Mixed_5{letter}", x, pooled)
    double = chain("Mixed_6a", x, ("3x3dbl_1", 64), ("3x3dbl_2", 96, 3))
    parts = [
        reduced("Mixed_6a", "3x3", x, 384),
        reduced("Mixed_6a", "3x3dbl_3", double, 96),
        F.max_pool2d(x, 3, 2),
    ]
    x = torch.cat(parts, 1)
    for letter, n in zip("bcde", (128, 160, 160, 192)):
        x = middle(f"Mixed_6{letter}", x, n)
    seven = chain("Mixed_7a", x, ("7x7x3_1", 192), ("7x7x3_2", 192, 1, 7), ("7x7x3_3", 192, 7, 1))
    single = chain("Mixed_7a", x, ("3x3_1", 192))
    parts = [reduced("Mixed_7a", "3x3_2", single, 320), reduced("Mixed_7a", "7x7x3_4", seven, 192)]
    x = torch.cat([*parts, F.max_pool2d(x, 3, 2)], 1)
    x = coarse("Mixed_7b", x, mean(x))
    return coarse("Mixed_7c", x, F.max_pool2d(x, 3, 1, 1)).mean((2, 3))


def i3d_in_torch(units, x):
    """Return 400 logits of clips [n 3 t 224 224], averaged over time."""

    def same(x, kernel, stride, value=0.0):
        """Pad so that ceil(size / stride) windows fit; an odd pixel of padding goes at the end."""
        sides = []
        for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride))):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            sides += [total // 2, total - total // 2]
        return F.pad(x, sides, value=value)

    def unit(name, x, width, size=1, stride=1):
        return units(name, same(x, (size,) * 3, (stride,) * 3), width, (size,) * 3, stride)

    def largest(x, kernel, stride):
        return F.max_pool3d(same(x, kernel, stride, -torch.inf), kernel, stride)

    def mixed(at, x, a, b, c, d, e, f):
        parts = [unit(f"{at}.b0", x, a), unit(f"{at}.b1b", unit(f"{at}.b1a", x, b), c, 3)]
        parts += [unit(f"{at}.b2b", unit(f"{at}.b2a", x, d), e, 3)]
        return torch.cat([*parts, unit(f"{at}.b3b", largest(x, (3, 3, 3), (1, 1, 1)), f)], 1)

    x = largest(unit("Conv3d_1a_7x7", x, 64, 7, 2), (1, 3, 3), (1, 2, 2))
    x = unit("Conv3d_2c_3x3", unit("Conv3d_2b_1x1", x, 64), 192, 3)
    x = mixed("Mixed_3b", largest(x, (1, 3, 3), (1, 2, 2)), 64, 96, 128, 16, 32, 32)
    x = largest(mixed("Mixed_3c", x, 128, 128, 192, 32, 96, 64), (3, 3, 3), (2, 2, 2))
    x = mixed("Mixed_4b", x, 192, 96, 208, 16, 48, 64)
    x = mixed("Mixed_4c", x, 160, 112, 224, 24, 64, 64)
    x = mixed("Mixed_4d", x, 128, 128, 256, 24, 64, 64)
    x = mixed("Mixed_4e", x, 112, 144, 288, 32, 64, 64)
    x = largest(mixed("Mixed_4f", x, 256, 160, 320, 32, 128, 128), (2, 2, 2), (2, 2, 2))
    x = mixed("Mixed_5b", x, 256, 160, 320, 32, 128, 128)
    x = F.avg_pool3d(mixed("Mixed_5c", x, 384, 192, 384, 48, 128, 128), (2, 7, 7), 1)
    weight, bias = units.uniform(-0.05, 0.05, 400, 1024, 1, 1, 1), units.uniform(-0.1, 0.1, 400)
    units.tensors |= {"logits.conv3d.weight": weight, "logits.conv3d.bias": bias}
    return F.conv3d(x, weight, bias).mean((2, 3, 4))


@pytest.mark.parametrize(
    "ours, theirs, conv, shape",
    [
        (inception, inception_in_torch, "conv", (1, 299, 299, 3)),
        # Each stride in time meets an odd number of frames.
        (i3d, i3d_in_torch, "conv3d", (1, 9, 224, 224, 3)),
    ],
    ids=["inception", "i3d"],
)
def test_features_are_those_of_torch(tmp_path, ours, theirs, conv, shape):
    x = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    units = Units(conv)
    as_theirs = (x - 128) / 128 if ours is inception else x / 127.5 - 1
    with torch.no_grad():
        expected = theirs(
            units, torch.from_numpy(np.ascontiguousarray(np.moveaxis(as_theirs, -1, 1)))
        ).numpy()
    tensors = units.tensors
    tensors |= {"fc.weight": torch.zeros(1008, 2048)} if ours is inception else {}
    torch.save(tensors, tmp_path / "weights.pth")
    weights = ours.convert(weight_files.load(str(tmp_path / "weights.pth")), "weights.pth")
    found = np.asarray(jax.jit(ours.features)(weights, x / np.float32(127.5) - 1))
    found = found.mean(tuple(range(1, found.ndim - 1)))
    print(
        f"{ours.__name__}: largest difference {np.abs(found - expected).max():.1e} "
        f"of {np.abs(expected).max():.1f}"
    )
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
