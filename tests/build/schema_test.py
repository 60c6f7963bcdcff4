"""A recipe is checked before anything runs: every key known, every value possible."""

import pytest
from flax import nnx
from ml_collections import ConfigDict

from configs import quickstart
from pipeline import build
from pipeline.core.errors import ConfigError


def changed(**values) -> ConfigDict:
    config = quickstart.get_config("tiny")
    with config.unlocked():
        for key, value in values.items():
            node, *rest = key.split("__")
            if rest:
                config[node][rest[0]] = value
            else:
                config[node] = value
    return config


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
def test_bad_recipes(change, message):
    with pytest.raises(ConfigError, match=message):
        build.complete(changed(**change))


@pytest.mark.parametrize(
    "change, make, message",
    [
        (
            dict(data__imagesize=3),
            build.dataset,
            "data.imagesize is not a setting of ImageData: did you mean 'image_size'",
        ),
        (
            dict(model__widht=3),
            lambda c: build.model_factory(c)(nnx.Rngs(0)),
            "model.widht .* did you mean 'width'",
        ),
        (
            dict(model__name="vdvae.VDVEA"),
            lambda c: build.model_factory(c)(nnx.Rngs(0)),
            "did you mean 'VDVAE'",
        ),
        (dict(model__name="nothing.X"), lambda c: build.model_factory(c)(nnx.Rngs(0)), "no module"),
        (dict(optimizer__lr=3), build.update, "optimizer.lr is not a setting"),
        (dict(optimizer__decay="cosin"), build.update, "did you mean 'cosine'"),
    ],
)
def test_bad_parts(change, make, message):
    with pytest.raises(ConfigError, match=message):
        make(build.complete(changed(**change)))
