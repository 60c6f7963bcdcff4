"""Every number of a recipe is checked once, at the start, and named in the error."""

import math

import pytest

from configs.quickstart import digits
from pipeline import build
from pipeline.build import limits, schema
from pipeline.core.errors import ConfigError


def changed(**values):
    """Return the quickstart recipe with changes of any type: log__every=3 is a key of a section."""
    config = digits.get_config("tiny")
    for key, value in values.items():
        *section, name = key.split("__")
        with config.unlocked():
            if section and section[0] not in config:
                config[section[0]] = {}
        node = config[section[0]] if section else config
        with node.unlocked():
            if name in node:  # or else a ConfigDict converts True to 1.0
                del node[name]
            node[name] = value
    return config


NUMBERS = [key for key in limits.RANGES if not key.startswith(("data.", "discriminator."))]


def test_every_number_among_the_defaults_has_a_range():
    known = set(limits.RANGES)
    for key, default in schema.DEFAULTS.items():
        for name, value in default.items() if isinstance(default, dict) else [("", default)]:
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert (f"{key}.{name}" if name else key) in known


def test_every_number_of_an_optimizer_has_a_range():
    defaults = build.defaults(changed(), "optimizer")
    numbers = {key for key, value in defaults.items() if isinstance(value, int | float)}
    assert numbers | {"learning_rate"} == limits.OPTIMIZER.keys()


@pytest.mark.parametrize("value", [True, None, "x", -2, math.nan, math.inf, [1], 2**31 + 0.5])
@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_that_cannot_be_is_named(key, value):
    if value == 2**31 + 0.5 and not limits.RANGES[key].whole:
        return
    config = changed(**{key.replace(".", "__"): value})
    with pytest.raises(ConfigError, match=rf"^config\.{key}(\[0\])?[ =]") as error:
        build.complete(config)
    assert "\n" not in str(error.value)


def test_numbers_like_5e8_are_integers():
    config = changed(num_steps=5e8, optimizer__warmup_steps=1e3, log__every=10.0)
    full = build.complete(config)
    assert (full["num_steps"], full["optimizer"]["warmup_steps"]) == (500_000_000, 1000)
    assert all(type(x) is int for x in (full["num_steps"], full["log"]["every"]))


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(optimizer=3), r"config\.optimizer=3 must be a dict"),
        (dict(stages=3), r"config\.stages=3 must be a list"),
        (dict(dtype=None), r"config\.dtype=None must be text"),
        (dict(dtype=["x"]), r"config\.dtype=\['x'\] must be text"),
        (dict(step=0), r"config\.step=0"),
        (dict(objective=0), r"config\.objective=0 must be a dict"),
        (dict(checkpoint__folder=None), r"config\.checkpoint\.folder=None must be text"),
        (dict(model__x=math.nan), r"config\.model\.x=nan must be finite"),
        (dict(model__x=[1.0, math.inf]), r"config\.model\.x\[1\]=inf must be finite"),
        (dict(model__x=max), r"config\.model\.x=.* is a builtin_function_or_method"),
        (
            dict(model__channels=(4, -1)),
            r"config\.model\.channels=\(4, -1\): integers must be from 0",
        ),
        (dict(eval__every=1, eval__num_examples=0), r"config\.eval\.num_examples=0"),
        (dict(stages=[dict(num_steps=True)]), r"config\.stages\[0\]\.num_steps=True"),
        (
            dict(stages=[{"num_steps": 4, "optimizer.b1": 2.0}]),
            r"config\.stages\[0\]\.optimizer\.b1=2\.0 must be",
        ),
        (dict(stages=[{"num_steps": 4, "data": 3}]), r"config\.stages\[0\]\.data=3 must be"),
    ],
)
def test_other_values_that_cannot_be_are_named(change, message):
    config = changed(**change)
    with pytest.raises(ConfigError, match=message):
        build.complete(config)


@pytest.mark.parametrize(
    "model, message",
    [
        (dict(channels=(4, "x")), r"model\.channels=\(4, 'x'\) must be Sequence\[int\]"),
        (dict(channels="ab"), r"model\.channels='ab' must be Sequence\[int\]"),
        (dict(channels=(4, True)), r"model\.channels=\(4, True\) must be Sequence\[int\]"),
        (dict(channels=(4, 0)), r"model\.channels=\(4, 0\)"),
        (dict(latent_dim=0), r"model\.latent_dim=0"),
        (dict(latent_dim=None), r"model\.latent_dim=None must be int"),
        (dict(latent_dim=2.5), r"model\.latent_dim=2\.5 must be int"),
        (dict(name="vae.jnp"), r"model\.name='vae\.jnp'"),
        (dict(name="..vae"), r"model\.name='\.\.vae'"),
    ],
)
def test_a_model_that_cannot_be_built_names_its_key(model, message):
    from flax import nnx

    recipe = dict(name="vae.VAE", image_size=8, image_channels=1, latent_dim=4, channels=(4, 4))
    with pytest.raises(ConfigError, match=message) as error:
        nnx.eval_shape(
            lambda: build.model_factory({"model": recipe | model, "dtype": "float32"})(nnx.Rngs(0))
        )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "override, message",
    [
        ({"name": 3}, r"sharding\['name'\]=3 must be a list"),
        ({"a": {"b": None}}, r"sharding\['a'\]=\{'b': None\} must be a list"),
        ({"a": [None, 3]}, r"sharding\['a'\]=\[None, 3\] must be a list"),
        ({"a": ["fsdp", "fsdp"]}, "each once"),
        ({"[": [None]}, r"sharding: '\[' is no regular expression: unterminated"),
    ],
)
def test_a_sharding_that_cannot_be_is_named(override, message):
    complete = build.complete(digits.get_config("tiny"))
    limits.check(complete | {"sharding": {"kernel": [None, "fsdp"]}})
    with pytest.raises(ConfigError, match=message):
        limits.check(complete | {"sharding": override})
