"""Perceptual distances with made-up weights: properties, frames, and unusable files.

This also covers squeezenet.py, whose features they use.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from squeezenet_weights import heads as learned_heads
from squeezenet_weights import made_up

from pipeline.core.errors import ConfigError, DataError
from pipeline.formats import weight_files
from pipeline.frozen import lpips

CAFFE = (
    pathlib.Path(__file__).parents[3]
    / "shared"
    / "data"
    / "weights"
    / "squeezenet11_caffe_notop.h5"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    trunk, heads = folder / "trunk.safetensors", folder / "heads.safetensors"
    safetensors.numpy.save_file(made_up(), trunk)
    safetensors.numpy.save_file(learned_heads(), heads)
    return dict(weights=str(trunk), heads=str(heads))


@pytest.fixture(scope="module")
def distance(files):
    made, weights = lpips.create("squeezenet", **files)
    arrays = jax.tree.map(jnp.asarray, weights)
    return jax.jit(lambda a, b: made(arrays, a, b))


def test_distance_is_zero_for_equal_images_and_symmetric(distance):
    a, b = jax.random.uniform(jax.random.key(0), (2, 3, 32, 32, 3), minval=-1)
    np.testing.assert_allclose(distance(a, a), 0, atol=1e-10)
    np.testing.assert_allclose(distance(a, b), distance(b, a), rtol=1e-6)
    assert float(distance(a, b).min()) > 1e-3
    gradient = jax.grad(lambda x: distance(a, x).sum())(a)
    assert np.isfinite(gradient).all(), "an image without features has a gradient"
    np.testing.assert_array_equal(
        jax.grad(lambda x: distance(a, x).sum())(jnp.zeros_like(a)).shape, a.shape
    )


def test_frames_are_separate_and_grey_equals_three_channels(distance):
    a, b = jax.random.uniform(jax.random.key(1), (2, 1, 2, 32, 32, 3), minval=-1)
    np.testing.assert_allclose(distance(a, b)[0], distance(a[0], b[0]), rtol=1e-5)
    grey_a, grey_b = a[0, ..., :1], b[0, ..., :1]
    np.testing.assert_allclose(
        distance(grey_a, grey_b),
        distance(jnp.repeat(grey_a, 3, -1), jnp.repeat(grey_b, 3, -1)),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "network, files, message",
    [
        (
            "vgg16",
            dict(weights=""),
            r"weights is empty: .* needs the weights of vgg16 \(.*download\.pytorch\.org",
        ),
        (
            "vgg16",
            dict(weights="v.pth"),
            r"heads is empty: LPIPS on vgg16 .*lpips/weights/v0\.1/vgg\.pth",
        ),
        ("squeezenet_caffe", dict(weights="v.h5", heads="h.pth"), "there are no learned heads"),
        ("vgg19", dict(weights="v.pth"), "did you mean 'vgg16'"),
        ("squeezenet", dict(weights="v.npz", heads="h"), "must be a file of weights: .safetensors"),
    ],
)
def test_missing_files_are_errors_that_say_where_to_get_them(network, files, message):
    with pytest.raises(ConfigError, match=message):
        lpips.create(network, **files)


def test_wrong_files_are_data_errors(tmp_path, files):
    with pytest.raises(
        DataError, match=r"is not VGG16: features\.2\.weight is .*torchvision's vgg16"
    ):
        lpips.create("vgg16", weights=files["weights"], heads=files["heads"])
    with pytest.raises(DataError, match="there is no such file"):
        lpips.create("squeezenet", weights=str(tmp_path / "no.pth"), heads=files["heads"])
    (tmp_path / "bad.pth").write_bytes(b"not a torch file")
    with pytest.raises(DataError, match=r"is not a \.pth file of weights, or is damaged"):
        weight_files.load(str(tmp_path / "bad.pth"))
    with pytest.raises(DataError, match="has no heads for this network"):
        lpips.create("squeezenet", weights=files["weights"], heads=files["weights"])


def test_torch_file_with_code_is_rejected(tmp_path):
    import os
    import pickle

    class Harm:
        def __reduce__(self):
            return (os.system, ("true",))

    (tmp_path / "harm.pth").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(DataError, match=r"posix\.system, which is not a tensor"):
        weight_files.load(str(tmp_path / "harm.pth"))


@pytest.mark.skipif(not CAFFE.is_file(), reason=f"needs {CAFFE}")
def test_real_network_weighs_structure_and_is_not_named_lpips():
    made, weights = lpips.create("squeezenet_caffe", weights=str(CAFFE))
    assert made.log_name == "squeezenet_caffe"
    assert (
        sum(array.size for name, array in weights.items() if not name.startswith("head")) == 722_496
    )
    from sklearn.datasets import load_sample_image

    photo = (
        jnp.asarray(load_sample_image("china.jpg")[100:164, 200:264][None], jnp.float32) / 127.5 - 1
    )
    noisy = photo + 0.1 * jax.random.normal(jax.random.key(0), photo.shape)
    brighter = photo + jnp.sqrt(jnp.square(noisy - photo).mean())
    arrays = jax.tree.map(jnp.asarray, weights)
    run = jax.jit(made)
    noise = float(run(arrays, photo, noisy)[0])
    light = float(run(arrays, photo, brighter)[0])
    assert noise > 2 * light > 0, "noise of equal energy should look worse than more light"
