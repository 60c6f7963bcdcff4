"""`strata inspect`: exact sizes of published models without weights; a run's step and digest."""

import json
import pathlib

import numpy as np
import pytest
from flax import nnx

from pipeline import build, models
from pipeline.cli import dispatch
from pipeline.core import parameters
from pipeline.training.checkpoints.store import Checkpoints
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states
from pipeline.training.state.digest import state_digest
from pipeline.training.workdir import claim

VDVAE = pathlib.Path(__file__).parents[2] / "configs" / "vdvae"
MODEL = dict(
    name="vae.VAE", image_size=8, image_channels=1, channels=[8], hidden=[16], latent_dim=4
)
CONFIG = dict(dtype="float32", model=MODEL, ema=0.9, num_steps=2, checkpoint=dict(folder=""))
CONFIG["optimizer"], CONFIG["data"] = dict(name="adamw", learning_rate=1e-3), {}
CONFIG |= dict(seed=0, batch_size=8, eval=dict(batch_size=8), objective={})


def inspect(capsys, *arguments: object) -> dict:
    assert dispatch(["inspect", *map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "recipe, parameters, layers",
    [
        ("cifar10", 39_145_700, 43),
        pytest.param("imagenet32", 119_280_868, 78, marks=pytest.mark.slow),
        pytest.param("imagenet64", 125_005_860, 75, marks=pytest.mark.slow),
        pytest.param("ffhq256", 114_874_852, 66, marks=pytest.mark.slow),
        pytest.param("ffhq1024", 109_366_904, 70, marks=pytest.mark.slow),
    ],
)
def test_published_sizes(capsys, recipe, parameters, layers):
    result = inspect(capsys, "--config", VDVAE / f"{recipe}.py")
    assert (result["parameters"], result["stochastic_layers"]) == (parameters, layers)
    assert sum(result["parts"].values()) == parameters
    assert len(result["latent_shapes"]) == layers
    size = result["image_shape"][0]
    assert result["latent_shapes"][0] == [1, 1, 16] and result["latent_shapes"][-1] == [
        size,
        size,
        16,
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[pathlib.Path, dict[int, str]]:
    """Return a run with checkpoints 1 and 2, and the digests of both."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    claim(folder, CONFIG)
    create, update = build.model_factory(CONFIG), build.update(CONFIG)
    _, shapes = states.abstract(create, update.optimizer, meshes.create())
    checkpoints, digests = Checkpoints(folder / "checkpoints"), {}
    for step in (1, 2):
        state = states.initialize(create, update.optimizer, shapes, seed=step)
        digests[step] = state_digest(state)
        checkpoints.save(step, state, {"config": CONFIG})
    checkpoints.close()
    return folder, digests


def test_a_run_reports_its_step_and_digest(capsys, run):
    folder, digests = run
    result = inspect(capsys, "--workdir", folder)
    assert (result["step"], result["state_sha256"], result["steps"]) == (2, digests[2], [1, 2])
    assert (
        inspect(capsys, "--workdir", folder, "--step", 1)["state_sha256"]
        == digests[1]
        != digests[2]
    )
    _, params, _ = parameters.split(models.create(MODEL, rngs=nnx.Rngs(0)))
    assert result["parameters"] == sum(np.size(array) for array in params.values())
    assert result["latent_shapes"] == [[4]] and result["stochastic_layers"] == 1


def test_a_run_without_a_checkpoint_reports_no_step(capsys, tmp_path):
    claim(tmp_path / "run", CONFIG)
    result = inspect(capsys, "--workdir", tmp_path / "run")
    assert result["step"] is None and result["state_sha256"] is None and result["steps"] == []


def test_a_codec_reports_its_model(capsys, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model": MODEL}))
    result = inspect(capsys, "--codec", tmp_path)
    assert result["model"] == "vae.VAE" and result["codec"] == str(tmp_path)


def test_the_table_is_printed_next_to_the_json_file(capsys, tmp_path):
    assert (
        dispatch(
            ["inspect", "--config", str(VDVAE / "cifar10.py"), "--json", str(tmp_path / "out.json")]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "39,145,700" in shown and "32x32x16" in shown
    assert json.loads((tmp_path / "out.json").read_text())["parameters"] == 39_145_700


def test_state_on_a_mesh_without_its_devices(capsys):
    recipe = ["--config", VDVAE / "cifar10.py", "--config.model.enc_blocks=32d32,1x1"]
    recipe += ["--config.model.dec_blocks=1x1,32m1"]  # few of the published blocks, as wide
    result = inspect(capsys, *recipe, "--mesh", "replica=2,fsdp=8,context=2")
    assert result["parameters"] > 1e6 and result["devices"] == 32
    assert (
        result["state_bytes"] / 8
        <= result["state_bytes_per_device"]
        < 1.1 * result["state_bytes"] / 8
    )
    split = next(
        array for array in result["arrays"] if array["path"] == "params.encoder.in_conv.kernel"
    )
    assert split["shape"] == [3, 3, 3, 384] and split["spec"] == [None, None, None, "fsdp"]
    assert split["bytes_per_device"] * 8 == split["bytes"] == 3 * 3 * 3 * 384 * 4


def test_mesh_without_a_value_is_the_recipes(capsys):
    recipe = VDVAE / "cifar10.py:tiny"
    assert inspect(capsys, "--config", recipe, "--mesh")["mesh"] == {
        "replica": 1,
        "fsdp": 1,
        "context": 1,
    }
    changed = inspect(capsys, "--config", recipe, "--config.mesh.fsdp=4", "--mesh")
    assert changed["mesh"]["fsdp"] == 4
    assert dispatch(["inspect", "--config", str(recipe), "--mesh", "fsdp=2"]) == 0
    shown = capsys.readouterr().out
    assert "params.decoder.gain" in shown and "where 1/fsdp is 0.5000" in shown


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--workdir", "{run}", "--mesh"], 2, "--mesh needs --config"),
        (["--config", str(VDVAE / "cifar10.py"), "--mesh", "fsdp"], 2, "'fsdp' is not AXIS=SIZE"),
        ([], 2, "give one of --config F, --workdir D and --codec D"),
        (["--workdir", "{run}", "--codec", "x"], 2, "give one of"),
        (["--codec", "x", "--step", "2"], 2, "--step needs --workdir"),
        (["--workdir", "{run}", "extra"], 2, "extra"),
        (["--workdir", "/nowhere"], 2, "/nowhere holds no run"),
        (["--codec", "/nowhere"], 2, "'/nowhere' does not exist"),
        (["--workdir", "{run}", "--step", "7"], 65, "no checkpoint of step 7"),
        (["--config", "/nowhere.py"], 2, "no such recipe"),
    ],
)
def test_errors_are_one_line(capsys, run, arguments, code, message):
    assert dispatch(["inspect", *(argument.format(run=run[0]) for argument in arguments)]) == code
    shown = capsys.readouterr().err.strip()
    assert message in shown and "\n" not in shown and shown.startswith("strata inspect: ")
