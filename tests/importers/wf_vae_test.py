"""Imports of WF-VAE: every parameter has its tensor, and every tensor is used."""

import json

import jax
import numpy as np
import pytest
from flax import nnx
from released_weights import BASE, FLOW, LATENT, write_wf_vae
from released_weights import wf_vae as tensors

from pipeline import cli, models
from pipeline.core import parameters
from pipeline.core.errors import CheckpointError, DataError
from pipeline.importers import wf_vae as wf_vae_importer


@pytest.fixture(scope="module")
def shapes() -> dict[str, jax.ShapeDtypeStruct]:
    recipe = wf_vae_importer.recipe(["file"], tensors())
    assert recipe["encoder"]["base_channels"] == BASE and recipe["encoder"]["num_blocks"] == 1
    assert recipe["decoder"]["num_connect_blocks"] == 1
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


def test_another_model_is_refused():
    with pytest.raises(CheckpointError, match=r"not a WF-VAE .* 'encoder.down1.0.bias'"):
        wf_vae_importer.recipe(["file"], {"conv.weight": np.zeros(1)})


def test_settings_in_the_folder_are_imported(tmp_path, shapes):
    given = write_wf_vae(
        tmp_path / "in", t_interpolation="nearest", scale=[0.5, 2.0], shift=[1.0, -1.0]
    )
    assert (
        cli.dispatch(["import", "--from", "wf-vae", str(given), "--out", str(tmp_path / "out")])
        == 0
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (
        config["model"]["decoder"]["time_interpolation"] == "nearest" and config["codec"]["causal"]
    )
    assert config["latents"]["mean"] == [1, -1] and config["latents"]["std"] == [2, 0.5]
    assert config["latents"]["shift"] == 0 and config["latents"]["scale"] == pytest.approx(
        (4.25 / 2 + 1) ** -0.5
    )
    # From the file or its folder; a config.json next to the file may belong to something else.
    file = str(given / "diffusion_pytorch_model.safetensors")
    assert wf_vae_importer.recipe([file], tensors())["decoder"]["time_interpolation"] == "nearest"
    (given / "config.json").write_text('{"learning_rate": 1}')
    assert wf_vae_importer.recipe([file], tensors())["decoder"]["time_interpolation"] == "linear"


def test_scales_that_were_not_measured_are_left_out(tmp_path):
    # Theirs by default, of four channels whatever there are.
    for number, scale in enumerate(
        ([0.18215] * 4, [0.18215] * LATENT, [1.0, 0.0], [1.0, "a"], None)
    ):
        given = write_wf_vae(tmp_path / str(number), scale=scale, shift=[0] * len(scale or []))
        assert wf_vae_importer.latent_statistics([str(given)]) == {}


@pytest.mark.parametrize(
    "settings, message",
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
        (dict(_class_name="AutoencoderKL"), "holds 'AutoencoderKL', not 'WFVAEModel'"),
    ],
)
def test_a_folder_with_another_network_is_refused(settings, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        wf_vae_importer.recipe([str(write_wf_vae(tmp_path / "in", **settings))], tensors())


def test_a_damaged_config_is_reported(tmp_path):
    (write_wf_vae(tmp_path / "in") / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json is damaged"):
        wf_vae_importer.recipe([str(tmp_path / "in")], tensors())


def test_other_hidden_settings_are_refused_with_the_overrides_to_give(tmp_path, capsys):
    given, out = write_wf_vae(tmp_path / "in"), tmp_path / "run"
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
    widths = dict(base_channels=BASE, flow_channels=FLOW).items()
    sizes = {f"{part}.{key}": value for part in ("encoder", "decoder") for key, value in widths}
    sizes["latent_channels"] = LATENT
    command += [f"--config.model.{key}={value}" for key, value in sizes.items()]
    assert cli.dispatch(command) == 2
    error = capsys.readouterr().err.strip()
    assert "model.decoder.time_interpolation='linear', not 'nearest'" in error and "\n" not in error
    overrides = [
        "--config.model.encoder.authors_wavelets=True",
        "--config.model.decoder.authors_wavelets=True",
        "--config.model.decoder.time_interpolation=linear",
    ]
    assert " ".join(overrides) in error and not out.exists()
    assert cli.dispatch([*command, *overrides[:2]]) == 2
    message = "was trained with model.decoder.time_interpolation='linear', not 'nearest': give"
    assert message in capsys.readouterr().err
