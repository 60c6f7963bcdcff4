"""Inception v3 (arXiv 1512.00567) as FID (1706.08500) uses it: TensorFlow's graph of 2015.

That graph is the paper's network up to its 2048 features, except that 3x3 average pools exclude
padding, and that the last block has a max pool in place of one. Its file for torch is known as
pt_inception-2015-12-05-6726825d.pth. torchvision's own Inception v3 has the same names but another
classifier and other weights, and does not give FID.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import DataError
from pipeline.frozen import branches, resize
from pipeline.frozen.branches import Pool, Unit

SIZE = 299  # height and width of its input
NUM_FEATURES = 2048
SOURCE = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"
_MEAN = Pool("mean", (3, 3), (1, 1))
_LARGEST = Pool("max", (3, 3), (1, 1))
_HALVED = Pool("max", (3, 3), (2, 2), same=False)


def _unit(name: str, width: int, rows: int = 1, columns: int = 0) -> Unit:
    return Unit(name, width, (rows, columns or rows), (1, 1))


def _strided(name: str, width: int) -> Unit:
    return Unit(name, width, (3, 3), (2, 2), same=False)


def _fine(at: str, pooled: int) -> list[tuple[object, ...]]:
    """Return the block of the paper's figure 5, at 35x35."""
    return [
        (_unit(f"{at}.branch1x1", 64),),
        (_unit(f"{at}.branch5x5_1", 48), _unit(f"{at}.branch5x5_2", 64, 5)),
        (
            _unit(f"{at}.branch3x3dbl_1", 64),
            _unit(f"{at}.branch3x3dbl_2", 96, 3),
            _unit(f"{at}.branch3x3dbl_3", 96, 3),
        ),
        (_MEAN, _unit(f"{at}.branch_pool", pooled)),
    ]


def _middle(at: str, width: int) -> list[tuple[object, ...]]:
    """Return the block of the paper's figure 6 with n = 7, at 17x17."""
    return [
        (_unit(f"{at}.branch1x1", 192),),
        (
            _unit(f"{at}.branch7x7_1", width),
            _unit(f"{at}.branch7x7_2", width, 1, 7),
            _unit(f"{at}.branch7x7_3", 192, 7, 1),
        ),
        (
            _unit(f"{at}.branch7x7dbl_1", width),
            _unit(f"{at}.branch7x7dbl_2", width, 7, 1),
            _unit(f"{at}.branch7x7dbl_3", width, 1, 7),
            _unit(f"{at}.branch7x7dbl_4", width, 7, 1),
            _unit(f"{at}.branch7x7dbl_5", 192, 1, 7),
        ),
        (_MEAN, _unit(f"{at}.branch_pool", 192)),
    ]


def _coarse(at: str, pool: Pool) -> list[tuple[object, ...]]:
    """Return the block of the paper's figure 7, at 8x8."""

    def both_ways(name: str) -> list[tuple[Unit]]:
        return [(_unit(f"{name}a", 384, 1, 3),), (_unit(f"{name}b", 384, 3, 1),)]

    return [
        (_unit(f"{at}.branch1x1", 320),),
        (_unit(f"{at}.branch3x3_1", 384), both_ways(f"{at}.branch3x3_2")),
        (
            _unit(f"{at}.branch3x3dbl_1", 448),
            _unit(f"{at}.branch3x3dbl_2", 384, 3),
            both_ways(f"{at}.branch3x3dbl_3"),
        ),
        (pool, _unit(f"{at}.branch_pool", 192)),
    ]


def _to_17(at: str) -> list[tuple[object, ...]]:
    """Return the reduction of the paper's figure 10, from 35x35."""
    double = (_unit(f"{at}.branch3x3dbl_1", 64), _unit(f"{at}.branch3x3dbl_2", 96, 3))
    return [
        (_strided(f"{at}.branch3x3", 384),),
        (*double, _strided(f"{at}.branch3x3dbl_3", 96)),
        (_HALVED,),
    ]


def _to_8(at: str) -> list[tuple[object, ...]]:
    """Return the reduction from 17x17, where one branch starts with 7x7."""
    seven = (
        _unit(f"{at}.branch7x7x3_1", 192),
        _unit(f"{at}.branch7x7x3_2", 192, 1, 7),
        _unit(f"{at}.branch7x7x3_3", 192, 7, 1),
    )
    return [
        (_unit(f"{at}.branch3x3_1", 192), _strided(f"{at}.branch3x3_2", 320)),
        (*seven, _strided(f"{at}.branch7x7x3_4", 192)),
        (_HALVED,),
    ]


NETWORK = (
    _strided("Conv2d_1a_3x3", 32),
    Unit("Conv2d_2a_3x3", 32, (3, 3), (1, 1), same=False),
    _unit("Conv2d_2b_3x3", 64, 3),
    _HALVED,
    _unit("Conv2d_3b_1x1", 80),
    Unit("Conv2d_4a_3x3", 192, (3, 3), (1, 1), same=False),
    _HALVED,
    _fine("Mixed_5b", 32),
    _fine("Mixed_5c", 64),
    _fine("Mixed_5d", 64),
    _to_17("Mixed_6a"),
    *(_middle(f"Mixed_6{letter}", width) for letter, width in zip("bcde", (128, 160, 160, 192))),
    _to_8("Mixed_7a"),
    _coarse("Mixed_7b", _MEAN),
    _coarse("Mixed_7c", _LARGEST),
)


def convert(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return kernels and biases from the published state dict, without the classifier.

    Raises:
      DataError: the file is another network's; FID's has a classifier of 1008 classes.
    """

    def wrong(found: str) -> DataError:
        return DataError(f"{path} is not FID's Inception v3: {found}; expected {SOURCE}")

    weights = branches.convert(NETWORK, tensors, conv_name="conv", wrong=wrong)
    branches.checked(tensors, "fc.weight", (1008, NUM_FEATURES), wrong)
    return weights


def features(
    weights: Mapping[str, Array], x: Float[Array, "n h w 3"]
) -> Float[Array, "n 8 8 2048"]:
    """Return the last feature map of images in [-1, 1]; its mean is FID's feature vector.

    Images of any size are resized as TensorFlow's graph and torch-fidelity do
    (pipeline.frozen.resize), and scaled to (v - 128) / 128 for v in 0..255. pytorch-fid resizes by
    another rule, and scales to v / 127.5 - 1.
    """
    x = resize.bilinear((x + 1) * 127.5, SIZE)
    return branches.run(NETWORK, weights, (x - 128) / 128)
