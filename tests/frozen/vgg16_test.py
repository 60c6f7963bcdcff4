"""VGG16's feature maps against a NumPy version of the paper's table, in torchvision's layers."""

import jax
import numpy as np

from pipeline.frozen import vgg16

# Configuration D of 1409.1556, table 1: channels of convolutions, each with its relu; M halves.
LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
# relu1_2, relu2_2, relu3_3, relu4_3, relu5_3, as layers of torchvision's list.
TAPS = (3, 8, 15, 22, 29)


def state_dict(rng) -> dict[str, np.ndarray]:
    """Return random weights by torchvision's names that keep the scale of features."""
    tensors, index, channels = {}, 0, 3
    for layer in LAYERS:
        if layer != "M":
            kernel = (
                rng.standard_normal((layer, channels, 3, 3), np.float32)
                * (2 / (9 * channels)) ** 0.5
            )
            tensors[f"features.{index}.weight"], channels = kernel.astype(np.float32), layer
            tensors[f"features.{index}.bias"] = rng.uniform(-0.5, 0.5, layer).astype(np.float32)
            index += 1
        index += 1
    return tensors


def restated(tensors, x: np.ndarray) -> list[np.ndarray]:
    """Return the feature maps of one image [h w c]."""
    maps, index = [], 0
    for layer in LAYERS:
        h, w, _ = x.shape
        if layer == "M":
            x = np.maximum.reduce(
                [x[i : h // 2 * 2 : 2, j : w // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)]
            )
        else:
            kernel, padded = (
                tensors[f"features.{index}.weight"],
                np.pad(x, ((1, 1), (1, 1), (0, 0))),
            )
            taps = [
                padded[i : i + h, j : j + w] @ kernel[:, :, i, j].T
                for i in range(3)
                for j in range(3)
            ]
            index += 1
            x = np.maximum(sum(taps) + tensors[f"features.{index - 1}.bias"], 0)
        if index in TAPS:
            maps.append(x)
        index += 1
    return maps


def test_feature_maps_match_the_published_network():
    rng = np.random.default_rng(0)
    tensors = state_dict(rng)
    x = rng.standard_normal((1, 18, 21, 3)).astype(np.float32)
    found = jax.jit(vgg16.features)(vgg16.convert(tensors, "made up"), x)
    expected = restated(tensors, x[0])
    assert [m.shape for m in expected] == [
        (18, 21, 64),
        (9, 10, 128),
        (4, 5, 256),
        (2, 2, 512),
        (1, 1, 512),
    ]
    for one, other in zip(found, expected, strict=True):
        assert 0.2 < (other > 0).mean() < 0.8, "about half of the features pass their relu"
        np.testing.assert_allclose(one[0], other, atol=1e-4 * other.max())
