"""The authors' names of WF-VAE's weights, built from the facts: every one found, and each used."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from pipeline import cli, models
from pipeline.codec import folder
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError, DataError
from pipeline.importers import wf_vae as wf_vae_importer

FLOW, BASE, LATENT = 4, 8, 2


def tensors() -> dict[str, np.ndarray]:
    """A state dict of their module with one block a stage: its tensors' names and shapes."""
    random, made = np.random.default_rng(0), {}

    def conv(name: str, i: int, o: int, *size: int) -> None:
        made[f"{name}.weight"] = random.normal(size=(o, i, *size)).astype(np.float32)
        made[f"{name}.bias"] = random.normal(size=o).astype(np.float32)

    def norm(name: str, width: int) -> None:
        made[f"{name}.norm.weight"], made[f"{name}.norm.bias"] = np.ones(width), np.zeros(width)

    def block(name: str, i: int, o: int, flat: bool = False) -> None:
        end, size = ("", (3, 3)) if flat else (".conv", (3, 3, 3))
        norm(f"{name}.norm1", i), norm(f"{name}.norm2", o)
        conv(f"{name}.conv1{end}", i, o, *size), conv(f"{name}.conv2{end}", o, o, *size)
        if i != o:
            conv(f"{name}.nin_shortcut{end}", i, o, *(1,) * len(size))

    def middle(name: str, i: int, o: int) -> None:
        wide = 4 * BASE
        block(f"{name}.0", i, wide), block(f"{name}.2", wide, o), norm(f"{name}.1.norm", wide)
        for part in ("q", "k", "v", "proj_out"):
            conv(f"{name}.1.{part}.conv", wide, wide, 1, 1, 1)

    conv("encoder.down1.0", 24, BASE, 3, 3), block("encoder.down1.1", BASE, BASE, flat=True)
    conv("encoder.down1.2.conv", BASE, BASE, 3, 3)
    conv("encoder.connect_l1", 12, FLOW, 3, 3), conv("encoder.connect_l2", 24, FLOW, 3, 3)
    (
        conv("encoder.down2.0", BASE + FLOW, 2 * BASE, 3, 3),
        block("encoder.down2.1", 2 * BASE, 2 * BASE),
    )
    conv("encoder.down2.2.conv.conv", 2 * BASE, 2 * BASE, 3, 3, 3)
    middle("encoder.mid", 2 * BASE + FLOW, 4 * BASE)
    norm("encoder.norm_out", 4 * BASE), conv("encoder.conv_out.conv", 4 * BASE, 2 * LATENT, 3, 3, 3)
    (
        conv("decoder.conv_in.conv", LATENT, 4 * BASE, 3, 3, 3),
        middle("decoder.mid", 4 * BASE, 4 * BASE + FLOW),
    )
    (
        block("decoder.up2.0", 4 * BASE, 4 * BASE),
        conv("decoder.up2.1.conv.conv", 4 * BASE, 4 * BASE, 3, 3, 3),
    )
    block("decoder.up2.2", 4 * BASE, 4 * BASE + FLOW)
    block("decoder.up1.0", 4 * BASE, 2 * BASE), conv("decoder.up1.1.conv", 2 * BASE, 2 * BASE, 3, 3)
    block("decoder.up1.2", 2 * BASE, 2 * BASE)
    block("decoder.layer.0", 2 * BASE, BASE), block("decoder.layer.1", BASE, BASE)
    for level, bands in (("1", 12), ("2", 24)):
        (
            block(f"decoder.connect_l{level}.0", FLOW, FLOW),
            conv(f"decoder.connect_l{level}.1", FLOW, bands, 3, 3),
        )
    norm("decoder.norm_out", BASE), conv("decoder.conv_out", BASE, 24, 3, 3)
    made["encoder.wavelet_transform_in.h_conv.conv.weight"] = np.full((1, 1, 2, 2, 2), 0.3536)
    made["decoder.inverse_wavelet_transform_l1.aa"] = np.full((1, 1, 2, 2), 0.5)
    return made


@pytest.fixture(scope="module")
def shapes() -> dict[str, jax.ShapeDtypeStruct]:
    recipe = wf_vae_importer.recipe(["file"], tensors())
    assert (
        recipe["base_channels"] == BASE
        and recipe["num_blocks"] == 1
        and recipe["num_connect_blocks"] == 1
    )
    return parameters.abstract(lambda: models.create(recipe, rngs=nnx.Rngs(0)))[1]


def test_every_weight_has_its_tensor_and_every_tensor_its_weight(shapes):
    given = tensors()
    weights = wf_vae_importer.convert(given, shapes, path="file")
    assert weights.keys() == shapes.keys()
    kernel = given["encoder.down2.2.conv.conv.weight"]
    np.testing.assert_array_equal(
        weights["encoder.down2.down.kernel"], kernel.transpose(2, 3, 4, 1, 0)
    )
    flat = given["decoder.up1.1.conv.weight"]
    np.testing.assert_array_equal(weights["decoder.up1.conv.kernel"][0], flat.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(
        weights["encoder.middle.attention.key.kernel"],
        given["encoder.mid.1.k.conv.weight"][:, :, 0, 0, 0].T,
    )


def test_a_tensor_too_many_or_too_few_is_named(shapes):
    with pytest.raises(CheckpointError, match=r"decoder\.extra"):
        wf_vae_importer.convert(tensors() | {"decoder.extra": np.zeros(1)}, shapes, path="file")
    few = tensors()
    del few["encoder.mid.1.q.conv.bias"]
    with pytest.raises(CheckpointError, match=r"1 missing: encoder\.mid\.1\.q\.conv\.bias"):
        wf_vae_importer.convert(few, shapes, path="file")


def test_another_model_is_told():
    with pytest.raises(CheckpointError, match=r"not a WF-VAE .* 'encoder.down1.0.bias'"):
        wf_vae_importer.recipe(["file"], {"conv.weight": np.zeros(1)})


def saved(where, **settings):
    """A folder as their save_pretrained writes it."""
    where.mkdir()
    given = {name: np.asarray(array, np.float32) for name, array in tensors().items()}
    safetensors.numpy.save_file(given, where / "diffusion_pytorch_model.safetensors")
    content = dict(
        _class_name="WFVAEModel", base_channels=BASE, latent_dim=LATENT, t_interpolation="trilinear"
    )
    (where / "config.json").write_text(json.dumps(content | settings))
    return where


def test_what_the_folder_says_of_its_network_is_taken(tmp_path, shapes):
    given = saved(tmp_path / "in", t_interpolation="nearest", scale=[0.5, 2.0], shift=[1.0, -1.0])
    assert (
        cli.dispatch(["import", "--from", "wf-vae", str(given), "--out", str(tmp_path / "out")])
        == 0
    )
    config = folder.read_config(tmp_path / "out")
    assert config["model"]["time_interpolation"] == "nearest" and config["codec"]["causal"]
    assert config["latents"]["mean"] == [1, -1] and config["latents"]["std"] == [2, 0.5]
    assert config["latents"]["shift"] == 0 and config["latents"]["scale"] == pytest.approx(
        (4.25 / 2 + 1) ** -0.5
    )
    # Of the file as of its folder; a config.json beside it may be of something else.
    file = str(given / "diffusion_pytorch_model.safetensors")
    assert wf_vae_importer.recipe([file], tensors())["time_interpolation"] == "nearest"
    (given / "config.json").write_text('{"learning_rate": 1}')
    assert wf_vae_importer.recipe([file], tensors())["time_interpolation"] == "linear"


def test_scales_that_nobody_measured_are_left(tmp_path):
    # Theirs by default, of four channels whatever there are.
    for number, scale in enumerate(
        ([0.18215] * 4, [0.18215] * LATENT, [1.0, 0.0], [1.0, "a"], None)
    ):
        given = saved(tmp_path / str(number), scale=scale, shift=[0] * len(scale or []))
        assert wf_vae_importer.latent_statistics([str(given)]) == {}


@pytest.mark.parametrize(
    "settings, said",
    [
        (dict(norm_type="groupnorm"), "norm_type='groupnorm', and our network has 'layernorm'"),
        (
            dict(t_interpolation="area"),
            "t_interpolation='area', and we have 'trilinear' and 'nearest'",
        ),
        (
            dict(base_channels=16),
            "config.json has base_channels=16, and the weights base_channels=8",
        ),
        (dict(_class_name="AutoencoderKL"), "is of 'AutoencoderKL', not of 'WFVAEModel'"),
    ],
)
def test_a_folder_of_another_network_is_told(settings, said, tmp_path):
    with pytest.raises(CheckpointError, match=said):
        wf_vae_importer.recipe([str(saved(tmp_path / "in", **settings))], tensors())


def test_a_damaged_config_is_told(tmp_path):
    (saved(tmp_path / "in") / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json is damaged"):
        wf_vae_importer.recipe([str(tmp_path / "in")], tensors())


def test_a_recipe_of_another_function_is_refused_with_what_to_give(tmp_path, capsys):
    given, out = saved(tmp_path / "in"), tmp_path / "run"
    command = [
        "import",
        "--from",
        "wf-vae",
        str(given),
        "--config",
        "configs/wf_vae/s_4ch.py:tiny",
        "--out",
        str(out),
    ]
    sizes = dict(base_channels=BASE, flow_channels=FLOW, latent_channels=LATENT)
    command += [f"--config.model.{key}={value}" for key, value in sizes.items()]
    assert cli.dispatch(command) == 2
    error = capsys.readouterr().err.strip()
    assert (
        "was trained with model.time_interpolation='linear', not 'nearest'" in error
        and "\n" not in error
    )
    overrides = ["--config.model.time_interpolation=linear", "--config.model.authors_wavelets=True"]
    assert " ".join(overrides) in error and not out.exists()
    assert cli.dispatch([*command, overrides[0]]) == 2
    assert "trained with model.authors_wavelets=True, not False: give" in capsys.readouterr().err
