"""Every regularizer in pipeline/regularizers keeps the contract."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.regularizers import create as regularizers
from pipeline.regularizers.base import Regularizer, Regularizers

SMALL = {"channel_dropping": dict(fewest=2, step=1), "equivariance": dict(scales=(0.5,))}
SHAPES = ((3, 4, 4, 6), (3, 2, 4, 4, 6))  # latents of images and of clips


def create(name: str, **changes) -> Regularizer:
    function = regularizers.arguments_of(name)
    assert function is not None
    arguments = SMALL.get(name, {}) | changes
    if "latent_channels" in inspect.signature(function).parameters:
        arguments["latent_channels"] = 6
    return function(**arguments)


def apply(part: Regularizer, z, seed=0, choice=""):
    params = {name: jnp.asarray(value, jnp.float32) for name, value in part.params.items()}
    return part.latents(z, jax.random.key(seed), params, choice)


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "clips"])
@pytest.mark.parametrize("name", regularizers.names())
def test_latents_of_images_and_clips_keep_their_channels_and_dtype(name, shape):
    part = create(name)
    z = jax.random.normal(jax.random.key(1), shape)
    for choice in part.choices:
        for dtype in (jnp.float32, jnp.bfloat16):
            changed = apply(part, z.astype(dtype), choice=choice)
            assert changed.dtype == dtype and changed.shape[-1] == 6
            assert np.isfinite(changed.astype(jnp.float32)).all()
        np.testing.assert_array_equal(apply(part, z, 3, choice), apply(part, z, 3, choice))
    if not part.choices[1:]:
        assert any((apply(part, z, seed) != z).any() for seed in range(50))


@pytest.mark.parametrize("name", regularizers.names())
def test_a_step_chooses_one_of_the_choices_by_the_seed_and_its_number(name):
    part = create(name)
    chosen = [part.choose(5, step) for step in range(1, 60)]
    assert {*chosen} == {*part.choices}
    assert chosen == [part.choose(5, step) for step in range(1, 60)]


@pytest.mark.parametrize("name", regularizers.names())
def test_every_argument_is_documented_has_a_default_and_a_type(name):
    function = regularizers.arguments_of(name)
    assert function is not None and function.__doc__
    assert function.__annotations__["return"] is Regularizer
    for key, parameter in inspect.signature(function).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation
        assert parameter.default is not parameter.empty
        assert key in regularizers.SUPPLIED or f"{key}:" in function.__doc__, key


def test_several_apply_in_turn_with_noise_of_their_own():
    noise = create("noise", highest=1.0)
    both = Regularizers((("one", noise), ("two", noise)))
    z = jnp.zeros((2, 8, 8, 6))
    alone = Regularizers((("one", noise),)).latents(z, jax.random.key(0), {})
    changed = both.latents(z, jax.random.key(0), {})
    correlation = np.corrcoef(alone.ravel(), (changed - alone).ravel())[0, 1]
    assert abs(correlation) < 0.1 and (changed != alone).all()
