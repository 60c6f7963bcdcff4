"""Every file of pipeline/published reads and writes its classes; no torch and no compilation.

tests/parity compares the networks with diffusers' classes.
"""

import json

import numpy as np
import pytest
import safetensors.numpy
from published_settings import SETTINGS

from pipeline import importers, published
from pipeline.core.errors import CheckpointError
from pipeline.exporters.diffusers import content
from pipeline.formats import state_dict
from pipeline.published import authors

CLASSES = sorted(published.families())
CASES = [(name, number) for name in CLASSES for number in range(len(SETTINGS[name]))]


def random_arrays(model):
    rng = np.random.default_rng(0)
    shapes = importers.shapes_of(model)
    return {name: rng.normal(size=shape.shape).astype(np.float32) for name, shape in shapes.items()}


def given(case):
    name, number = case
    return {"_class_name": name} | SETTINGS[name][number]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request):
    return request.param


def test_settings_of_the_model_give_the_model_again(case):
    family = published.of_class(case[0])
    model = family.recipe(given(case))
    assert json.loads(json.dumps(model)) == model
    again = family.settings(published.complete(model))
    assert not published.differences(family.recipe(again), model)
    assert model["encoder"]["name"] in family.ENCODERS
    found, settings = published.of_model(model)
    assert found is family and settings["_class_name"] in family.CLASS_NAMES
    assert isinstance(family.HIDDEN, tuple)


def test_tensors_are_written_and_read_again_exactly(case):
    family = published.of_class(case[0])
    settings = given(case)
    model = family.recipe(settings)
    arrays = random_arrays(model)
    latents = family.read_statistics(settings, {})
    written, tensors = content(dict(model=model, latents=latents, published=settings), arrays)
    tensors = safetensors.numpy.load(safetensors.numpy.save(tensors))
    # The folder's own config.json comes back.
    assert written == settings
    _, buffers = family.write_statistics(latents, published.complete(model))
    shapes = importers.shapes_of(model)
    again = state_dict.convert(
        tensors, shapes, family.rule(model, tensors), path="file", ignored=buffers
    )
    np.testing.assert_equal(again, arrays)
    assert family.read_statistics(written, tensors) == latents


def test_a_codec_that_was_trained_here_gets_settings_of_its_own(case):
    family = published.of_class(case[0])
    model = family.recipe(given(case))
    latents = family.read_statistics(given(case), {})
    for held in (latents, {}):
        settings, tensors = content(dict(model=model, latents=held), random_arrays(model))
        assert not published.differences(family.recipe(settings), model)
        found = family.read_statistics(json.loads(json.dumps(settings)), tensors)
        for key in ("mean", "std"):
            if key in held:
                np.testing.assert_allclose(found[key], held[key], rtol=1e-6)


def test_every_class_has_settings_here():
    assert set(SETTINGS) == set(CLASSES)


def test_an_unknown_class_is_refused_with_the_known_ones():
    with pytest.raises(CheckpointError, match=f"'UNet' is not .*: {', '.join(CLASSES)}"):
        published.of_class("UNet")


def test_the_names_of_the_authors_are_invertible(case):
    model = published.complete(published.of_class(case[0]).recipe(given(case)))
    if not any(model["encoder"]["name"] in naming.ENCODERS for naming in authors.namings()):
        pytest.skip("its authors have no names of their own")
    naming, arrays = authors.of_model(model), random_arrays(model)
    tensors = state_dict.restore(arrays, naming.rule(model, ()))
    again = state_dict.convert(
        tensors, importers.shapes_of(model), naming.rule(model, tensors), path="file"
    )
    np.testing.assert_equal(again, arrays)
