"""Other people's weights arrive whole, in the right layout, or not at all; tests/parity compares the networks."""

import numpy as np
import pytest
import torch_zip
from flax import nnx
from tiny_codec import HIERARCHY

from pipeline import models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError, DataError
from pipeline.formats import state_dict
from pipeline.importers import disentangling_vae as disentangling_vae_importer
from pipeline.importers import openai_vdvae as openai_vdvae_importer

MNIST = dict(
    name="vae.VAE",
    image_size=32,
    image_channels=1,
    latent_dim=10,
    hidden=(256, 256),
    likelihood="bernoulli",
)
LARGE = dict(MNIST, image_size=64, image_channels=3, channels=(32,) * 4)


def shapes_of(recipe):
    return parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))[1]


def bottleneck(name, inputs, middle, outputs, size):
    kernels = {
        "c1": (middle, inputs, 1),
        "c2": (middle, middle, size),
        "c3": (middle, middle, size),
    }
    kernels["c4"] = (outputs, middle, 1)
    return {f"{name}.{key}": (out, into, k, k) for key, (out, into, k) in kernels.items()}


def vdvae_tensors(encoder=(8, 8, 4, 4, 1), decoder=(1, 4, 8, 8), width=8, zdim=2, mixtures=2):
    """Random tensors by the authors' names, for tiny_codec.HIERARCHY."""
    middle = width // 4
    kernels = {
        "encoder.in_conv": (width, 3, 3, 3),
        "decoder.out_net.out_conv": (10 * mixtures, width, 1, 1),
    }
    for index, res in enumerate(encoder):
        kernels |= bottleneck(
            f"encoder.enc_blocks.{index}", width, middle, width, 3 if res > 2 else 1
        )
    for index, res in enumerate(decoder):
        name, size = f"decoder.dec_blocks.{index}", 3 if res > 2 else 1
        kernels |= bottleneck(f"{name}.enc", 2 * width, middle, 2 * zdim, size)
        kernels |= bottleneck(f"{name}.prior", width, middle, 2 * zdim + width, size)
        kernels |= bottleneck(f"{name}.resnet", width, middle, width, size)
        kernels[f"{name}.z_proj"] = (width, zdim, 1, 1)
    return random_tensors(kernels) | {
        name: noise(shape)
        for name, shape in {
            "decoder.gain": (1, width, 1, 1),
            "decoder.bias": (1, width, 1, 1),
            **{
                f"decoder.bias_xs.{i}": (1, width, res, res)
                for i, res in enumerate(sorted(set(decoder)))
            },
        }.items()
    }


def burgess_tensors(size=32, channels=1, latents=10):
    convs = {
        "encoder.conv1": (32, channels, 4, 4),
        "encoder.conv2": (32, 32, 4, 4),
        "encoder.conv3": (32, 32, 4, 4),
    }
    convs |= {"decoder.convT1": (32, 32, 4, 4), "decoder.convT2": (32, 32, 4, 4)}
    convs |= {"decoder.convT3": (32, channels, 4, 4)}
    if size == 64:
        convs |= {"encoder.conv_64": (32, 32, 4, 4), "decoder.convT_64": (32, 32, 4, 4)}
    linears = {
        "encoder.lin1": (256, 512),
        "encoder.lin2": (256, 256),
        "encoder.mu_logvar_gen": (2 * latents, 256),
    }
    linears |= {
        "decoder.lin1": (256, latents),
        "decoder.lin2": (256, 256),
        "decoder.lin3": (512, 256),
    }
    tensors = random_tensors(convs | linears)
    return tensors | {"decoder.convT3.bias": noise((channels,))}


def random_tensors(weights):
    tensors = {f"{name}.weight": noise(shape) for name, shape in weights.items()}
    return tensors | {f"{name}.bias": noise((shape[0],)) for name, shape in weights.items()}


def noise(shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


CASES = {
    "vdvae": (openai_vdvae_importer, HIERARCHY, vdvae_tensors),
    "mnist": (disentangling_vae_importer, MNIST, burgess_tensors),
    "64x64": (disentangling_vae_importer, LARGE, lambda: burgess_tensors(64, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_tensor_finds_its_place(case):
    converter, recipe, make = CASES[case]
    tensors, shapes = make(), shapes_of(recipe)
    weights = converter.convert(tensors, shapes, path="file")
    assert {name: array.shape for name, array in weights.items()} == {
        n: s.shape for n, s in shapes.items()
    }
    ours = np.sort(np.concatenate([array.ravel() for array in weights.values()]))
    theirs = np.sort(np.concatenate([array.ravel() for array in tensors.values()]))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_told(case):
    converter, recipe, make = CASES[case]
    tensors, shapes = make(), shapes_of(recipe)
    first = sorted(name for name in tensors if name.endswith("weight"))[0]
    missing = {name: array for name, array in tensors.items() if name != first}
    for changed, said in (
        (missing, f"1 missing: {first}"),
        (tensors | {"extra": noise((1,))}, "1 unknown to the recipe: extra"),
        (tensors | {first: noise((3, 3, 1, 1))}, f"1 of another shape: {first}"),
        (tensors | {first: noise((3,))}, f"1 of another shape: {first} [3]"),
    ):
        with pytest.raises(CheckpointError) as error:
            converter.convert(changed, shapes, path="file")
        assert said in str(error.value)
        assert "\n" not in str(error.value)


def test_another_number_of_blocks_is_told_first():
    with pytest.raises(
        CheckpointError, match=r"the file has 4 encoder blocks, the recipe 5: set model.enc_blocks"
    ):
        openai_vdvae_importer.convert(
            vdvae_tensors(encoder=(8, 8, 4, 1)), shapes_of(HIERARCHY), path="file"
        )


def test_a_weight_without_a_counterpart_stops_the_conversion():
    with pytest.raises(CheckpointError, match="has no counterpart"):
        openai_vdvae_importer.convert(vdvae_tensors(), shapes_of(MNIST), path="file")


def test_feature_maps_are_flattened_with_channels_last():
    features = noise((32, 4, 4))
    tensors = burgess_tensors()
    weights = disentangling_vae_importer.convert(tensors, shapes_of(MNIST), path="file")
    theirs = tensors["encoder.lin1.weight"] @ features.ravel()
    ours = features.transpose(1, 2, 0).ravel() @ weights["encoder.linears.0.kernel"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(weights["encoder.linears.0.bias"], tensors["encoder.lin1.bias"])
    hidden = noise((256,))
    theirs = (tensors["decoder.lin3.weight"] @ hidden + tensors["decoder.lin3.bias"]).reshape(
        32, 4, 4
    )
    ours = (
        hidden @ weights["decoder.linears.2.kernel"] + weights["decoder.linears.2.bias"]
    ).reshape(4, 4, 32)
    np.testing.assert_allclose(ours.transpose(2, 0, 1), theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(
        weights["encoder.posterior.bias"].reshape(2, 10),
        tensors["encoder.mu_logvar_gen.bias"].reshape(10, 2).T,
    )


def test_files_of_torch_are_checked(tmp_path, monkeypatch):
    tensors = burgess_tensors()
    torch_zip.save(
        {f"module.{name}": array for name, array in tensors.items()}, tmp_path / "x.pt", monkeypatch
    )
    loaded = state_dict.load(str(tmp_path / "x.pt"))
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(loaded[name], array)
    whole = (tmp_path / "x.pt").read_bytes()
    for length in range(0, len(whole), len(whole) // 20):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            state_dict.load(str(tmp_path / "cut.pt"))
    torch_zip.save([1, 2], tmp_path / "list.pt", monkeypatch)
    torch_zip.save({"a": 1}, tmp_path / "number.pt", monkeypatch)
    for name, said in (
        ("absent.pt", "no such file"),
        ("list.pt", "not a state dict"),
        ("number.pt", "tensors by name"),
    ):
        with pytest.raises(DataError, match=said):
            state_dict.load(str(tmp_path / name))


def test_weights_within_a_trainers_checkpoint(tmp_path, monkeypatch):
    one, other = np.ones((2, 3), np.float32), np.zeros(4, np.float32)
    trainer = {"epoch": 3, "optimizer": [{"lr": 0.1}], "state_dict": {"gen": {"w": one}}, "ema": {}}
    torch_zip.save(trainer, tmp_path / "x.ckpt", monkeypatch)
    loaded = state_dict.load(str(tmp_path / "x.ckpt"), within=[("ema",), ("state_dict", "gen")])
    np.testing.assert_array_equal(loaded["w"], one)
    torch_zip.save({"w": other}, tmp_path / "bare.ckpt", monkeypatch)
    assert state_dict.load(str(tmp_path / "bare.ckpt"), within=[("ema",)])["w"].shape == (4,)
