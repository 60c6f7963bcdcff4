"""Every file of pipeline/conditioning keeps the contract; all of them in one compiled program."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline import models
from pipeline.conditioning.labels import drop_labels
from pipeline.core.construct import modules_of
from pipeline.core.errors import ConfigError
from pipeline.nn.norm import MOMENTUM

FEATURES, CONDITION = 4, 3
SHAPES = ((2, FEATURES), (2, 3, 5, FEATURES))  # a vector and a map
OTHERS = {"labels", "modulation"}  # the label's side, and shared code
NAMES = {
    module: [
        name
        for name, value in vars(importlib.import_module(f"pipeline.conditioning.{module}")).items()
        if inspect.isclass(value) and value.__module__ == f"pipeline.conditioning.{module}"
    ]
    for module in modules_of("pipeline.conditioning")
    if module not in OTHERS
}
CLASSES = [f"{module}.{name}" for module, names in NAMES.items() for name in names]


def create(name: str) -> nnx.Module:
    module, _, attribute = name.partition(".")
    kind = getattr(importlib.import_module(f"pipeline.conditioning.{module}"), attribute)
    return kind(FEATURES, CONDITION, key=jax.random.key(0))


def test_every_file_defines_one_class_with_a_docstring():
    assert len(NAMES) >= 4 and all(len(names) == 1 for names in NAMES.values())
    for name in CLASSES:
        assert type(create(name)).__doc__


def test_the_output_depends_on_the_condition_only_after_training():
    parts = {name: nnx.split(create(name)) for name in CLASSES}
    keys = jax.random.split(jax.random.key(1), 3)
    xs = [jax.random.normal(keys[0], shape) for shape in SHAPES]
    conditions = [jax.random.normal(key, (2, CONDITION)) for key in keys[1:]]

    @jax.jit
    def outputs(states, amount):
        """Return [shape][condition] by class, with all parameters moved by `amount`."""
        found = {}
        for name, (graph, _) in parts.items():
            layer = nnx.merge(graph, jax.tree.map(lambda a: a + amount, states[name]))
            found[name] = [[layer(x, c) for c in conditions] for x in xs]
            trained = nnx.merge(graph, states[name])
            assert trained(xs[0], conditions[0], MOMENTUM).shape == SHAPES[0]
        return found

    states = {name: state for name, (_, state) in parts.items()}
    first, moved = outputs(states, 0.0), outputs(states, 0.1)
    for name in CLASSES:
        for x, (a, b), (c, d) in zip(xs, first[name], moved[name], strict=True):
            assert a.shape == x.shape and a.dtype == jnp.float32
            np.testing.assert_array_equal(a, b, err_msg=name)
            assert np.abs(c - d).max() > 1e-3, name
            if "norm" not in name:
                np.testing.assert_array_equal(a, x, err_msg=name)


def recipe(**given):
    small = dict(name="vae.VAE", image_size=8, image_channels=1, channels=(4, 8), hidden=(6,))
    return small | dict(latent_dim=3) | given


@pytest.mark.parametrize("name", ["film.FiLM", "concatenation.Concatenation"])
def test_a_vae_begins_as_the_same_one_without_labels(name):
    plain = models.create(recipe(), rngs=nnx.Rngs(0))
    given = dict(name=name, num_classes=5)
    model = models.create(recipe(conditioning=given), rngs=nnx.Rngs(0))
    images = jax.random.randint(jax.random.key(0), (3, 8, 8, 1), 0, 256).astype(jnp.uint8)
    graphs, states = zip(nnx.split(plain), nnx.split(model), strict=True)

    @jax.jit
    def means(states):
        before, after = (nnx.merge(graph, state) for graph, state in zip(graphs, states))
        batch = {"image": images, "label": jnp.array([0, 4, -1])}
        key = jax.random.key(1)
        found = [each(batch, key=key, train=True).recon.mean() for each in (before, after)]
        moved = nnx.merge(graphs[1], jax.tree.map(lambda a: a + 0.05, states[1]))
        z = jnp.zeros((2, 3))
        labelled = moved.decode([z], label=jnp.array([1, -1])).mean()
        return found, labelled, moved.decode([z]).mean()

    (before, after), labelled, unlabelled = means(states)
    np.testing.assert_array_equal(before, after)
    assert np.abs(labelled[0] - labelled[1]).max() > 1e-4
    np.testing.assert_allclose(labelled[1], unlabelled[0], rtol=1e-5, atol=1e-6)


def test_labels_are_dropped_per_example_by_the_steps_key():
    labels = jnp.arange(2000) % 5
    dropped = drop_labels(labels, 0.25, jax.random.key(3))
    assert 0.2 < float((dropped == -1).mean()) < 0.3
    assert (np.asarray(dropped) == np.where(np.asarray(dropped) == -1, -1, labels)).all()
    np.testing.assert_array_equal(dropped, drop_labels(labels, 0.25, jax.random.key(3)))


@pytest.mark.parametrize(
    "given, message",
    [
        (dict(name="film.FiLM"), "num_classes is missing"),
        (dict(name="film.FiLM", num_classes=0), "num_classes=0 must be 1 or more"),
        (dict(name="film.FiLM", num_classes=5, label_dropout=1.0), "below 1"),
        (dict(name="film.FiLM", num_classes=5, tokens=2), "tokens is not a setting of FiLM"),
        (dict(name="film.Film", num_classes=5), "did you mean 'FiLM'"),
    ],
)
def test_a_bad_setting_is_one_line(given, message):
    with pytest.raises(ConfigError, match=message):
        models.create(recipe(conditioning=given), rngs=nnx.Rngs(0))
