"""Frozen encoders: what a recipe says of them, gradients, clips, sizes and errors."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tiny_encoders

from pipeline.core.construct import load, modules_of
from pipeline.core.errors import CheckpointError, ConfigError, DataError
from pipeline.formats.fingerprint import fingerprint_of
from pipeline.frozen import encoder


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_encoders.dinov2(tmp_path_factory.mktemp("encoder"), registers=4)


@pytest.fixture(scope="module")
def dinov2(file):
    found, weights = encoder.create(name="dinov2", weights=file)
    return found, jax.device_put(weights)


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)), jnp.uint8)


def test_features_of_images_and_of_clips(dinov2, images):
    found, weights = dinov2
    one = found(weights, images, layers=(0, 2))
    assert one.patches.shape == (2, 4, 6, 16) == (2, *found.grid(16, 24), found.width)
    assert one.pooled.shape == (2, 16) and one.layers.keys() == {0, 2}
    clips = found(weights, images[None], layers=(2,))
    np.testing.assert_array_equal(clips.patches[0], one.patches)
    np.testing.assert_array_equal(clips.layers[2][0], one.layers[2])
    np.testing.assert_array_equal(clips.pooled[0], one.pooled)


def test_gradients_reach_images_and_never_weights(dinov2, images):
    found, weights = dinov2
    digest = fingerprint_of(jax.device_get(weights))
    x = jnp.asarray(images[:1], jnp.float32) / 127.5 - 1

    def loss(weights, x):
        return jnp.square(found(weights, x).patches).mean()

    of_weights, of_images = jax.jit(jax.grad(loss, argnums=(0, 1)))(weights, x)
    assert all(not np.any(gradient) for gradient in of_weights.values())
    assert np.abs(of_images).max() > 0
    assert fingerprint_of(jax.device_get(weights)) == digest


def test_preprocessing(file, images):
    sized, weights = encoder.create(
        name="dinov2", weights=file, size=24, crop=16, resize="bilinear", mean=(0.5, 0.5, 0.5)
    )
    assert sized.grid(16, 24) == (4, 4)
    x = sized.preprocessing(images)
    resized = jax.image.resize(images / 127.5 - 1, (2, 24, 24, 3), "linear", antialias=False)
    own = (resized[:, 4:20, 4:20] / 2 + 0.5 - 0.5) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(x, own, atol=1e-5)
    assert sized(jax.device_put(weights), images).patches.shape == (2, 4, 4, 16)
    assert sized.describe()["preprocessing"]["crop"] == 16
    json.dumps(sized.describe())


def test_a_folder_states_its_normalization_and_its_heads(file, tmp_path):
    names = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]}
    shutil.copy(file, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "dinov2_with_registers", "num_attention_heads": 4})
    )
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({f"image_{key}": value for key, value in names.items()})
    )
    found, _ = encoder.create(name="dinov2", weights=str(tmp_path))
    assert list(found.preprocessing.mean) == names["mean"]
    assert found.modeldef.skeleton().blocks[0].attention.heads == 4
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(CheckpointError, match="is a 'vit', and dinov2 is"):
        encoder._read.cache_clear()
        encoder.create(name="dinov2", weights=str(tmp_path))


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(name="dino"), "teacher.name='dino': did you mean"),
        (dict(), "teacher.weights is empty: the trained weights of dinov2 are needed"),
        (dict(size=10), "teacher.size=10 must be a multiple of 4"),
        (dict(size=16, crop=20), "teacher.crop=20 must be at most size=16"),
        (dict(resize="nearest"), "teacher.resize='nearest'"),
        (dict(mean=(1.0,)), r"teacher.mean=\[1.0\] must have three values"),
        (dict(dtype="float16"), "teacher.dtype='float16'"),
    ],
)
def test_settings_that_cannot_work(file, given, message):
    weights = {} if not given else {"weights": file}
    with pytest.raises(ConfigError, match=message):
        encoder.create(**{"name": "dinov2", **weights, **given})


def test_weights_that_are_missing_or_of_another_network(tmp_path):
    with pytest.raises(DataError, match=r"no such file.*weights of dinov2: facebook/dinov2-base"):
        encoder.create(name="dinov2", weights=str(tmp_path / "absent.pth"))
    with pytest.raises(DataError, match="holds no weights"):
        encoder.create(name="dinov2", weights=str(tmp_path))
    other = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"features.0.weight": np.zeros((1, 1), np.float32)}, other)
    with pytest.raises(CheckpointError, match="there is none of the tensors"):
        encoder.create(name="dinov2", weights=str(other))
    file = tiny_encoders.dinov2(tmp_path)
    tensors = safetensors.numpy.load_file(file)
    del tensors["blocks.1.ls1.gamma"]
    safetensors.numpy.save_file(tensors | {"extra": np.zeros(1, np.float32)}, file)
    with pytest.raises(CheckpointError, match=r"missing: blocks.1.ls1.gamma; 1 unknown.*extra"):
        encoder.create(name="dinov2", weights=file)


def test_sizes_and_layers_that_the_encoder_lacks(dinov2, images):
    found, weights = dinov2
    with pytest.raises(ConfigError, match=r"images of 15x24 pixels.*set size"):
        found(weights, images[:, :15])
    with pytest.raises(ConfigError, match="dinov2 has the layers 0 to 2"):
        found(weights, images, layers=(3,))


@pytest.mark.parametrize("name", modules_of(encoder.ENCODERS))
def test_each_file_keeps_the_contract(name):
    family = load(encoder.ENCODERS, name, where="")
    assert family.SOURCE and family.MODEL_TYPES and family.NAMINGS
    family.PREPROCESSING.check(1, name)
    assert len({naming.probe for naming in family.NAMINGS}) == len(family.NAMINGS)
    with pytest.raises(ConfigError, match=f"weights of {name} are needed, and none come"):
        encoder.create(name=name)
