"""Every file of pipeline/exporters writes the files it names, completely and more than once."""

import functools

import numpy as np
import pytest
from flax import nnx
from tiny_codec import tiny_codec

from pipeline import Codec, cli, exporters, models
from pipeline.core import parameters
from pipeline.core.construct import load, modules_of, summaries
from pipeline.core.errors import ConfigError

NAMES = modules_of(exporters.__name__)


def exporter(name: str):
    return load(exporters.__name__, name, where="--to")


@functools.cache
def codec():
    """Return an AutoencoderKL, which every format has a form for."""
    network = dict(channels=(8, 16), groups=4)
    recipe = dict(
        name="autoencoder.Autoencoder",
        image_size=8,
        latent_channels=2,
        encoder=dict(name="ldm.Encoder", num_blocks=1, **network),
        bottleneck=dict(name="gaussian.Gaussian"),
        decoder=dict(name="ldm.Decoder", num_blocks=2, **network),
    )
    modeldef, params, _ = parameters.split(models.create(recipe, rngs=nnx.Rngs(0)))
    about = {"model": recipe, "dtype": "float32", "latent_shapes": [[4, 4, 2]]}
    about |= {"num_parameters": 1, "input": {"image_shape": [8, 8, 3]}}
    return Codec.of(modeldef, params, about)


@pytest.mark.parametrize("name", NAMES)
def test_an_exporter_describes_itself(name):
    assert summaries(exporters.__name__)[name].endswith(".")
    assert exporter(name).FILES and exporter(name).write.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_an_exporter_writes_its_files(name, tmp_path):
    preview = np.zeros((8, 8, 3), np.uint8)
    for _ in range(2):  # a folder can be overwritten
        paths = exporter(name).write(codec(), tmp_path / "out", preview=preview)
        assert [path.name for path in paths] == list(exporter(name).FILES)
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
            exporter(name).FILES
        )
    paths = exporter(name).write(codec(), tmp_path / "plain")
    assert [path.name for path in paths] == [
        file for file in exporter(name).FILES if file != "preview.png"
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        exporter(name).write(codec(), tmp_path / "file")


@pytest.mark.parametrize("name", ["diffusers", "single_file"])
def test_a_codec_that_the_format_lacks_is_refused_in_a_line(name, tmp_path):
    with pytest.raises(ConfigError, match=r"codecs with .*ldm.Encoder.* can be written") as error:
        exporter(name).write(tiny_codec("flat"), tmp_path / "out")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_strata_gives_back_the_same_weights(tmp_path):
    codec = tiny_codec("flat")
    exporter("strata").write(codec, tmp_path / "out")
    again = Codec.from_pretrained(tmp_path / "out")
    np.testing.assert_equal(
        {name: np.asarray(array) for name, array in again.weights.items()},
        {name: np.asarray(array) for name, array in codec.weights.items()},
    )


@pytest.mark.parametrize("command", ["import", "export"])
def test_help_lists_the_folder(command, capsys):
    assert cli.dispatch([command, "--help"]) == 0
    shown = capsys.readouterr().out
    for name, line in summaries(f"pipeline.{command}ers").items():
        assert f"  {name.replace('_', '-')}  " in shown and line in " ".join(shown.split())
