"""A recipe is checked before anything runs: every key is known and every value possible."""

import pytest
from flax import nnx
from ml_collections import ConfigDict

from configs.quickstart import digits
from pipeline import build
from pipeline.core.errors import ConfigError


def changed(**values) -> ConfigDict:
    """Return the quickstart recipe with changes: log__every=3 is a key of a section."""
    config = digits.get_config("tiny")
    with config.unlocked():
        for key, value in values.items():
            node, *rest = key.split("__")
            if rest:
                config[node][rest[0]] = value
            else:
                config[node] = value
    return config


def create_model(config):
    return build.model_factory(config)(nnx.Rngs(0))


def test_missing_keys_get_their_defaults():
    full = build.complete(changed(log={}))
    assert full["log"] == {"every": 50} and full["sharding"] == {}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(batchsize=3), "config.batchsize is not a key of a recipe: did you mean 'batch_size'"),
        (dict(num_steps=0), "config.num_steps=0 must be an integer above 0"),
        (dict(dtype="float16"), "config.dtype='float16'"),
        (dict(checkpoint__evry=3), "config.checkpoint.evry is not known: did you mean 'every'"),
    ],
)
def test_impossible_recipes_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        build.complete(changed(**change))


@pytest.mark.parametrize(
    "change, create, message",
    [
        (
            dict(data__imagesize=3),
            build.dataset,
            "data.imagesize is not a setting of ImageData: did you mean 'image_size'",
        ),
        (dict(model__widht=3), create_model, "model.widht .* did you mean 'width'"),
        (dict(model__name="vdvae.VDVEA"), create_model, "did you mean 'VDVAE'"),
        (dict(model__name="nothing.X"), create_model, "no module"),
        (dict(optimizer__lr=3), build.update, "optimizer.lr is not a setting"),
        (dict(optimizer__decay="cosin"), build.update, "did you mean 'cosine'"),
    ],
)
def test_impossible_sections_are_refused(change, create, message):
    with pytest.raises(ConfigError, match=message):
        create(build.complete(changed(**change)))


def test_defaults_are_those_of_what_a_section_builds():
    config = changed()
    assert build.defaults(config, "optimizer")["b1"] == 0.9
    assert "num_steps" not in build.defaults(config, "optimizer")
    assert build.defaults(config, "log") == {"every": 50}
    assert build.defaults(config, "")["ema"] == 0.9999


def test_a_key_takes_values_of_the_types_that_it_is_annotated_with():
    config = changed()
    assert build.takes(config, "optimizer", "b1", 1)
    assert not build.takes(config, "optimizer", "b1", "one")
    assert build.takes(config, "log", "every", 3) and not build.takes(config, "log", "every", "x")
