"""DFC-VAE's loss against a restatement of its equation 3, from a file of made-up weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.types import Outputs
from pipeline.distributions.continuous import Reconstruction
from pipeline.losses.terms.deep_features import deep_features

# Index in torchvision's list of layers, input and output channels, and whether pooling precedes.
LAYERS = [(0, 3, 64, 0), (2, 64, 64, 0), (5, 64, 128, 1), (7, 128, 128, 0), (10, 128, 256, 1)]
TAPS = (0, 5, 10)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    rng, tensors = np.random.default_rng(0), {}
    for index, channels, width, _ in LAYERS:
        scale = (2 / (9 * channels)) ** 0.5
        kernel = scale * rng.standard_normal((width, channels, 3, 3))
        tensors[f"features.{index}.weight"] = kernel.astype(np.float32)
        tensors[f"features.{index}.bias"] = rng.uniform(-0.5, 0.5, width).astype(np.float32)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return tensors, str(path)


def maps_of(tensors, x: np.ndarray) -> list[np.ndarray]:
    """Return the tapped maps of an image [h w c], already scaled."""
    maps = []
    for index, _, _, pooled in LAYERS:
        h, w, c = x.shape
        if pooled:
            h, w = h // 2, w // 2
            x = x.reshape(h, 2, w, 2, c).max(axis=(1, 3))
        kernel, padded = tensors[f"features.{index}.weight"], np.pad(x, ((1, 1), (1, 1), (0, 0)))
        taps = [
            padded[i : i + h, j : j + w] @ kernel[:, :, i, j].T for i in range(3) for j in range(3)
        ]
        x = np.maximum(sum(taps) + tensors[f"features.{index}.bias"], 0)
        maps += [x] if index in TAPS else []
    return maps


@pytest.mark.parametrize("scaling", ["imagenet", "caffe"])
def test_half_the_mean_squared_difference_is_summed_over_three_maps(weights, scaling):
    tensors, path = weights
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    recon = rng.uniform(-1, 1, image.shape).astype(np.float32)
    term = deep_features(weights=path, scaling=scaling)

    @jax.jit
    def value(recon, frozen):
        batch = {"image": jnp.asarray(image)}
        return term.value(Outputs(Reconstruction(recon), ()), batch, 0, frozen)

    def scaled(x: np.ndarray) -> np.ndarray:
        if scaling == "caffe":
            return ((x + 1) * 127.5)[..., ::-1] - np.array([103.939, 116.779, 123.68])
        return (x - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])

    found = value(recon, dict(term.frozen))
    for one, a, b in zip(found, recon, image / 127.5 - 1, strict=True):
        pairs = zip(maps_of(tensors, scaled(a)), maps_of(tensors, scaled(b)), strict=True)
        np.testing.assert_allclose(one, sum(((m - n) ** 2).mean() / 2 for m, n in pairs), rtol=1e-4)


def test_without_the_file_or_with_another_networks_it_says_so(weights, tmp_path):
    with pytest.raises(ConfigError, match=r"deep_features\.weights is empty: the loss needs"):
        deep_features()
    tensors, _ = weights
    other = {name: array for name, array in tensors.items() if "10" not in name}
    safetensors.numpy.save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"is not VGG16 or VGG19: features\.10\.weight is absent"):
        deep_features(weights=str(tmp_path / "other.safetensors"))
