"""Files of Wan's authors: what they hold is recognised by shapes; tests/parity compares names."""

import numpy as np
import pytest
import safetensors.numpy
from released_weights import wan

from pipeline import cli
from pipeline.core.errors import CheckpointError
from pipeline.importers import wan as wan_importer


def write(path, tensors):
    safetensors.numpy.save_file({name: np.array(array) for name, array in tensors.items()}, path)
    return [str(path)]


def test_the_network_is_read_from_shapes(tmp_path):
    model = wan_importer.read(write(tmp_path / "wan.safetensors", wan())).model
    assert model["encoder"] == dict(
        name="video.wan.Encoder", channels=[4, 8, 8], num_blocks=1, in_time=[False, True]
    )
    assert model["decoder"] == dict(
        name="video.wan.Decoder", channels=[4, 8, 8], num_blocks=2, in_time=[False, True]
    )
    assert model["latent_channels"] == 2


@pytest.mark.parametrize(
    "changes, message",
    [
        (lambda t: {"a": np.ones(1, np.float32)}, "is not a codec of Wan's authors: it has no"),
        (lambda t: t | {"encoder.middle.3.x": np.ones(1)}, "1 unknown to the recipe: encoder.mid"),
        (lambda t: {k: a for k, a in t.items() if k != "conv1.bias"}, "1 missing: conv1.bias"),
    ],
)
def test_other_files_are_refused_in_a_line(changes, message, tmp_path, capsys):
    paths = write(tmp_path / "wan.safetensors", changes(wan()))
    with pytest.raises(CheckpointError, match=message):
        wan_importer.read(paths)
    assert cli.dispatch(["import", "--from", "wan", *paths, "--out", str(tmp_path / "out")]) == 65
    assert "\n" not in capsys.readouterr().err.strip() and not (tmp_path / "out").exists()


def test_another_recipe_is_refused(tmp_path):
    recipe = dict(name="vae.VAE", image_size=8)
    with pytest.raises(CheckpointError, match="must be one of configs/wan"):
        wan_importer.read(write(tmp_path / "wan.safetensors", wan()), recipe)
