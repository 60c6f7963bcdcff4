"""The contract of the loss terms: each file of the folder is constructed, called and checked."""

import dataclasses
import functools
import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters
from pipeline.core.construct import load
from pipeline.core.types import Latent, Outputs
from pipeline.distributions.continuous import Bernoulli
from pipeline.losses import alignment, objective
from pipeline.losses.term import Term, weight_at
from pipeline.losses.terms import deep_features, perceptual
from pipeline.losses.terms.features import gram

NAMES = sorted(objective.packages())
SIZE, BATCH = 24, 3
OF_MAPS = ("local_correlation", "vf", "repa")  # terms that compare the positions of latents


class ImageDecoder(nnx.Module):
    """A frozen image codec: latents of one position to images of SIZE x SIZE."""

    def __init__(self):
        self.scale = nnx.Param(jnp.ones(3))

    def encode(self, images):
        codes = jnp.zeros((len(images), 1, 1), jnp.int32)
        z = codes.astype(jnp.float32)
        return (Latent(z, z, indices=codes, num_codes=3),)

    def decode(self, latents):
        (z,) = latents
        return Bernoulli(jnp.tile(z * self.scale[...], (1, SIZE, SIZE, 1)))


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Replace the perceptual networks, which need files, by distances with one weight."""

    class Distance:
        log_name = "lpips"

        def __call__(self, weights, a, b):
            return weights["scale"] * jnp.square(a - b).mean(axis=(-3, -2, -1))

    def create(network, *, weights, heads, where):
        return Distance(), {"scale": jnp.float32(2.0)}

    monkeypatch.setattr(perceptual.lpips, "create", create)

    class Vgg16:
        source, trunk = (
            "",
            types.SimpleNamespace(features=lambda weights, x: [weights["scale"] * x]),
        )
        convert = staticmethod(lambda tensors, path: {"scale": jnp.float32(2.0)})
        scale = staticmethod(lambda x: x)

    class Teacher:
        def __call__(self, weights, images):
            patches = jnp.tile(weights["scale"] * images[:, ::12, ::12, :1] / 255, 4)
            return types.SimpleNamespace(patches=patches + jnp.arange(4))

    teacher = lambda recipe, where: (Teacher(), {"scale": jnp.float32(2.0)})  # noqa: E731
    monkeypatch.setattr(alignment, "create_teacher", teacher)
    monkeypatch.setitem(gram.lpips.NETWORKS, "vgg16", Vgg16)
    monkeypatch.setattr(deep_features.weight_files, "load", lambda path: {})
    for name, function in (
        ("convert_start", lambda tensors, path: {"scale": jnp.float32(2.0)}),
        ("start_features", lambda weights, x: (weights["scale"] * x,)),
    ):
        monkeypatch.setattr(deep_features.vgg16, name, function)


def create(name: str, weight=1.0) -> Term:
    function = objective.arguments_of(name)
    assert function is not None
    modeldef, params, _ = parameters.split(ImageDecoder())
    required = {
        "codec": "folder",
        "weights": "file",
        "load_codec": lambda path: (modeldef, params),
        "num_examples": 10,
        "teacher_channels": 4,
        "targets": {"hog": {"name": "hog"}, "dinov2": {"name": "dinov2"}},
    }
    taken = inspect.signature(function).parameters
    arguments = {key: required[key] for key in required if key in taken}
    term = function(weight=weight, **arguments)
    module = load(objective.packages()[name], name, where="name")
    if not hasattr(module, "trained"):
        return term
    arguments = objective.default_arguments(function) | arguments
    own = {key: jnp.asarray(value) for key, value in module.trained(arguments, 3).items()}
    return dataclasses.replace(term, frozen={**term.frozen, **own})


def codes_of(z):
    """Return what a discrete bottleneck gives to its loss terms."""
    pairs = {"vectors": (z,), "codes": (z + 0.5,), "soft_codes": z - 0.5}
    logits = {"bit_logits": z, "code_logits": 0.01 * z, "proxy_logits": z[:, 0, :1, :1]}
    logits["code_cosines"] = 0.01 * z[:, 0]
    features = {
        "discriminator_features": (z, jnp.zeros_like(z)),
        "discriminator_layers": ([z, z], [jnp.zeros_like(z), 2 * z]),
    }
    return {**pairs, **logits, **features}


@functools.cache
def case(name="", seed=0):
    """Return outputs and a batch with everything that a term may need."""
    keys = jax.random.split(jax.random.key(seed), 4)
    shape = (BATCH, SIZE, SIZE, 3)
    side = 2 if name in OF_MAPS else 1
    z = jax.random.normal(keys[0], (BATCH, 1, side, side, 3))
    bands = [(jax.random.normal(keys[1], (BATCH, 4)), jax.random.normal(keys[2], (BATCH, 4)))]
    outputs = Outputs(
        Bernoulli(0.3 * jax.random.normal(keys[3], shape)),
        (Latent(z, jnp.square(z), mean=0.9 * z, logvar=0.1 * z),),
        {
            "wavelets": bands,
            "penalty": jnp.square(z).sum(axis=(1, 2, 3, 4)),
            **codes_of(z),
            "predictions": {
                "hog": jax.random.normal(keys[1], (BATCH, 4, 108)),
                "dinov2": jax.random.normal(keys[2], (BATCH, 4, 4)),
            },
            "patch_mask": jnp.array([[1.0, 0, 0, 1]] * BATCH),
            "class_bounds": z[:, 0, 0, 0],
            "class_log_q": jax.nn.log_softmax(z[:, 0, 0, 0]),
            "teacher_features": (jax.random.normal(keys[1], (BATCH, 2, 2, 3)),),
        },
    )
    image = jax.random.randint(keys[1], shape, 0, 256).astype(jnp.uint8)
    label = jnp.array([2, -1, 0])
    taught = {
        "teacher_latent": 0.5 * z,
        "teacher_image": jax.random.normal(keys[2], shape),
        "teacher_features": (jax.random.normal(keys[2], (BATCH, 2, 2, 5)),),
    }
    return outputs, {"image": image, "label": label, "mask": jnp.array([1.0, 1.0, 0.0])} | taught


@pytest.mark.parametrize("name", NAMES)
def test_one_finite_value_an_example_with_a_finite_gradient(name):
    term = create(name)
    outputs, batch = case(name)

    @jax.jit
    def value_and_gradient(outputs, step, frozen):
        def total(outputs):
            value = term.value(outputs, batch, step, frozen)
            return value.sum(), value

        (_, value), gradient = jax.value_and_grad(total, has_aux=True)(outputs)
        return value, gradient

    value, gradient = value_and_gradient(outputs, jnp.int32(2), dict(term.frozen))
    assert value.shape == (BATCH,) and value.dtype == jnp.float32 and np.isfinite(value).all()
    leaves = jax.tree.leaves(gradient)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any(np.abs(leaf).max() > 0 for leaf in leaves)


@pytest.mark.parametrize("name", NAMES)
def test_the_weight_is_a_number_or_a_schedule(name):
    outputs, batch = case(name)

    def loss(weight):
        term = dataclasses.replace(create(name, weight), balance="")
        others = () if term.likelihood else (("l1", create("l1")),)
        found = objective.Objective(((name, term), *others), has_penalty=True)
        frozen = {f"{name}.{key}": value for key, value in term.frozen.items()}
        losses = jax.jit(lambda outputs: found(outputs, batch, 3, {}, frozen))(outputs)
        return losses, weight_at(term.weight, 3)

    number, two = loss(2.0)
    schedule, again = loss(lambda step: jnp.float32(2.0))
    assert two == again == 2.0
    np.testing.assert_allclose(number.total, schedule.total, rtol=1e-6)
    assert {*schedule.logged} - {*number.logged} == {f"{name}_weight"}
    assert all(value.shape in ((), (BATCH,), (BATCH, 1)) for value in number.logged.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_documented_has_a_default_and_a_type(name):
    module = load(objective.packages()[name], name, where="name")
    function = getattr(module, name)
    assert module.__doc__ and function.__doc__
    assert function.__annotations__["return"] is Term
    for key, parameter in inspect.signature(function).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation
        if key not in objective.SUPPLIED:
            assert parameter.default is not parameter.empty, "an override needs a value to replace"
        if key not in (*objective.SUPPLIED, "weight"):
            assert f"{key}:" in function.__doc__ or f"`{key}`" in function.__doc__, key
    paths = {path.partition(".")[0] for path in getattr(module, "PATHS", ())}
    assert paths <= {*inspect.signature(function).parameters}


def test_log_names_are_unique():
    terms = [create(name) for name in NAMES]
    names = [term.log_name for term in terms if term.log_name]
    assert all(term.log_name or term.charges_kl for term in terms), "the KL is logged for these"
    reserved = ["loss", "elbo", "rate", "kl", "logvar", "generator", "discriminator", "r1", "lecam"]
    assert len({*names, *reserved}) == len(names) + len(reserved)


def test_a_recipe_names_every_term_and_an_override_can_add_it():
    defaults = objective.default_keys()
    assert {*NAMES} <= defaults.keys()
    assert all("weight" in defaults[name] for name in NAMES)
