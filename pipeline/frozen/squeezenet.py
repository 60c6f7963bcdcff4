"""SqueezeNet 1.1 (arXiv 1602.07360), as LPIPS uses it: a convolution and eight fire modules.

Two files have weights for it: torchvision's, on which LPIPS's heads for "squeeze" were trained, and
the original Caffe weights in Keras's layout, which give a distance of the same kind that is not
LPIPS.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pipeline.core.errors import DataError
from pipeline.nn.conv import convolve

CHANNELS = (64, 128, 256, 384, 384, 512, 512)
SOURCE = (
    "torchvision's squeezenet1_1: https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"
)
CAFFE_SOURCE = (
    "the Caffe weights in Keras's layout: squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
# torchvision's index of each fire module, its channels (squeezed, expanded), and whether it is
# pooled.
_FIRES = (
    (3, 16, 64, True),
    (4, 16, 64, False),
    (6, 32, 128, True),
    (7, 32, 128, False),
    (9, 48, 192, True),
    (10, 48, 192, False),
    (11, 64, 256, False),
    (12, 64, 256, False),
)
# The fire modules that give a feature map; the first of the seven maps is the first convolution's.
_TAPPED = (4, 7, 9, 10, 11, 12)
_PARTS = ("squeeze", "expand1x1", "expand3x3")


def convert(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return weights by our names from torchvision's.

    Raises:
      DataError: the file is another network's.
    """

    def one(name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
        kernel = tensors.get(f"{name}.weight")
        kernel = kernel.transpose(2, 3, 1, 0) if kernel is not None and kernel.ndim == 4 else None
        return kernel, tensors.get(f"{name}.bias")

    names = {"conv": "features.0"}
    names |= {
        f"fire{fire}.{part}": f"features.{fire}.{part}" for fire, *_ in _FIRES for part in _PARTS
    }
    return _checked({ours: one(theirs) for ours, theirs in names.items()}, path, SOURCE)


def convert_caffe(tensors: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """Return weights by our names from Keras's file of the Caffe weights.

    They expect BGR images minus their mean. The layers are fire2..fire9, in the order of
    torchvision's 3..12; a layer's arrays are identified by their dimensions, not by their names.

    Raises:
      DataError: the file is another network's.
    """
    layers: dict[str, dict[int, np.ndarray]] = {}
    for name, array in tensors.items():
        layers.setdefault(
            "/".join(name.split("/")[:2]) if name.startswith("fire") else "conv1", {}
        )[array.ndim] = array
    names = {"conv": "conv1"}
    for number, (fire, *_) in enumerate(_FIRES, start=2):
        names |= {
            f"fire{fire}.{part}": f"fire{number}/{part if part != 'squeeze' else 'squeeze1x1'}"
            for part in _PARTS
        }
    found = {
        ours: (layers.get(name, {}).get(4), layers.get(name, {}).get(1))
        for ours, name in names.items()
    }
    return _checked(found, path, CAFFE_SOURCE)


def _checked(
    found: Mapping[str, tuple[np.ndarray | None, np.ndarray | None]], path: str, source: str
) -> dict[str, np.ndarray]:
    weights = {}
    for name, shape in _shapes().items():
        kernel, bias = found[name]
        if kernel is None or bias is None or kernel.shape != shape or bias.shape != shape[-1:]:
            is_there = "absent" if kernel is None else f"{list(kernel.shape)}"
            raise DataError(
                f"{path} is not SqueezeNet 1.1: {name} is {is_there}, not {list(shape)}; expected "
                f"{source}"
            )
        weights[f"{name}.kernel"] = np.asarray(kernel, np.float32, order="C")
        weights[f"{name}.bias"] = np.asarray(bias, np.float32)
    return weights


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"conv": (3, 3, 3, 64)}
    channels = 64
    for fire, squeezed, expanded, _ in _FIRES:
        shapes[f"fire{fire}.squeeze"] = (1, 1, channels, squeezed)
        shapes[f"fire{fire}.expand1x1"] = (1, 1, squeezed, expanded)
        shapes[f"fire{fire}.expand3x3"] = (3, 3, squeezed, expanded)
        channels = 2 * expanded
    return shapes


def features(
    weights: Mapping[str, Array], x: Float[Array, "n h w 3"]
) -> tuple[Float[Array, "n _ _ _"], ...]:
    """Return seven feature maps of images that are scaled as the network expects."""

    def layer(name: str, x: Array, stride: int = 1) -> Array:
        kernel = weights[f"{name}.kernel"]
        # The only strided layer has no padding.
        out = convolve(x, kernel, stride, (0, 0) if stride > 1 else None)
        return jax.nn.relu(out + weights[f"{name}.bias"])

    x = layer("conv", x, stride=2)
    maps = [x]
    for fire, _, _, pooled in _FIRES:
        x = layer(f"fire{fire}.squeeze", _pooled(x) if pooled else x)
        x = jnp.concatenate([layer(f"fire{fire}.{part}", x) for part in _PARTS[1:]], axis=-1)
        if fire in _TAPPED:
            maps.append(x)
    return tuple(maps)


def _pooled(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """Return 3x3 max pooling of stride 2; the last windows may reach beyond the edge."""
    counts = [max(0, -(-(size - 3) // 2)) + 1 for size in x.shape[1:3]]
    beyond = [2 * (count - 1) + 3 - size for count, size in zip(counts, x.shape[1:3])]
    x = jnp.pad(x, [(0, 0), (0, beyond[0]), (0, beyond[1]), (0, 0)], constant_values=-jnp.inf)
    n, _, _, c = x.shape
    rows, columns = 2 * counts[0] - 1, 2 * counts[1] - 1
    parts = [
        lax.slice(x, (0, i, j, 0), (n, i + rows, j + columns, c), (1, 2, 2, 1))
        for i in range(3)
        for j in range(3)
    ]
    largest = parts[0]
    for part in parts[1:]:
        largest = jnp.maximum(largest, part)
    return largest
