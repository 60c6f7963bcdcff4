"""Models split into a definition and flat dicts of arrays, and merged again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pipeline.core import parameters


def create():
    return nnx.Sequential(
        nnx.Linear(2, 3, rngs=nnx.Rngs(0)),
        nnx.BatchNorm(3, use_running_average=True, rngs=nnx.Rngs(0)),
    )


def test_split_and_merge_give_the_model_back():
    model = create()
    modeldef, params, model_state = parameters.split(model)
    assert "layers.0.kernel" in params and "layers.1.mean" in model_state
    x = jnp.ones((1, 2))
    np.testing.assert_array_equal(modeldef.merge(params, model_state)(x), model(x))
    with pytest.raises(KeyError, match=r"layers\.0\."):
        modeldef.merge({})


def test_definition_is_hashable_and_equal_for_equal_models():
    one, other = (parameters.split(create())[0] for _ in range(2))
    assert one == other and hash(one) == hash(other)


def test_abstract_gives_shapes_and_allocates_nothing():
    _, params, model_state = parameters.abstract(create)
    assert params["layers.0.kernel"].shape == (2, 3)
    shapes = [*params.values(), *model_state.values()]
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in shapes)
