"""Every file of pipeline/importers imports its sample completely, or says in one line why not."""

import json

import numpy as np
import pytest
from released_weights import sample_of

from pipeline import importers
from pipeline.core.construct import load, modules_of, summaries
from pipeline.core.errors import CheckpointError, ConfigError, DataError

NAMES = modules_of(importers.__name__)


def importer(name: str):
    return load(importers.__name__, name, where="--from")


@pytest.mark.parametrize("name", NAMES)
def test_an_importer_describes_itself(name):
    assert summaries(importers.__name__)[name].endswith(".")
    files = importer(name).FILES
    assert isinstance(files, tuple) and files and all(file.isupper() for file in files)
    assert importer(name).read.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_imported_and_every_tensor_used(name, tmp_path, monkeypatch):
    sample = sample_of(name, monkeypatch)
    paths = sample.write(tmp_path / "released", sample.tensors)
    assert len(paths) == len(importer(name).FILES)
    imported = importer(name).read(paths, sample.model)
    shapes = importers.shapes_of(imported.model)
    assert {key: array.shape for key, array in imported.arrays.items()} == {
        key: shape.shape for key, shape in shapes.items()
    }
    assert all(array.dtype == np.float32 for array in imported.arrays.values())
    assert json.dumps([imported.model, imported.latents])
    assert imported.provenance.startswith(f"{name.replace('_', '-')}: ")
    assert str(tmp_path) not in imported.provenance
    if name != "image_codec":  # whose kernels are larger than the image codec's
        ours = np.sort(np.concatenate([a.ravel() for a in imported.arrays.values()]))
        used = [a for key, a in sample.tensors.items() if not sample.ignored(key)]
        theirs = np.sort(np.concatenate([a.ravel() for a in used]).astype(np.float32))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_the_recipe_s_or_the_files_own(name, tmp_path, monkeypatch):
    sample = sample_of(name, monkeypatch)
    paths = sample.write(tmp_path / "released", sample.tensors)
    if sample.model is None:
        own = importer(name).read(paths)
        again = importer(name).read(paths, own.model)
        assert own.model == again.model
        np.testing.assert_equal(dict(own.arrays), dict(again.arrays))
    else:
        with pytest.raises(ConfigError, match=r"--config FILE is missing: .* configs/"):
            importer(name).read(paths)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_that_do_not_fit_are_reported_in_a_line(name, tmp_path, monkeypatch):
    sample = sample_of(name, monkeypatch)
    first = next(key for key in sample.tensors if not sample.ignored(key))
    array = sample.tensors[first]
    for number, changed in enumerate(
        (
            {key: a for key, a in sample.tensors.items() if key != first},
            {**sample.tensors, "decoder.extra.weight": np.ones((2, 2), np.float32)},
            {**sample.tensors, first: np.concatenate([array, array])},
        )
    ):
        paths = sample.write(tmp_path / str(number), changed)
        with pytest.raises(CheckpointError) as error:
            importer(name).read(paths, sample.model)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_missing_are_reported(name, tmp_path, monkeypatch):
    sample = sample_of(name, monkeypatch)
    paths = [str(tmp_path / f"absent{number}") for number in range(len(importer(name).FILES))]
    with pytest.raises((DataError, ConfigError), match="absent"):
        importer(name).read(paths, sample.model)
