"""Masked modelling: masked positions alone count; histograms of gradients in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.terms.teachers.masked_prediction import (
    at_masked,
    histograms,
    masked_prediction,
)


def test_only_masked_positions_count():
    term = masked_prediction()
    images = jax.random.randint(jax.random.key(0), (2, 32, 32, 3), 0, 256).astype(jnp.uint8)
    found = jax.random.normal(jax.random.key(1), (2, 4, 108))
    mask = jnp.array([[1.0, 0, 1, 0], [0.0, 0, 0, 1]])

    def value(found):
        outputs = Outputs(None, (), {"predictions": {"hog": found}, "patch_mask": mask})
        return term.value(outputs, {"image": images}, 0, {})

    gradient = jax.grad(lambda found: value(found).sum())(found)
    touched = np.abs(gradient).max(axis=-1) > 0
    np.testing.assert_array_equal(touched, mask > 0)
    other = found + 7 * (1 - mask)[..., None]
    np.testing.assert_array_equal(value(found), value(other))


def test_the_mean_is_over_the_masked_and_none_is_0():
    error = jnp.array([[1.0, 5, 3, jnp.nan], [1.0, 2, 3, 4]])
    mask = jnp.array([[1.0, 0, 1, 0], [0.0, 0, 0, 0]])
    np.testing.assert_allclose(at_masked(error, mask), [2, 0])


def test_a_ramp_has_one_orientation():
    """Columns that rise by 1 have one direction of gradients: one bin of 9 in each cell."""
    ramp = jnp.broadcast_to(jnp.arange(32.0)[None, None, :, None], (1, 32, 32, 3))
    found = np.asarray(histograms(ramp)).reshape(1, 2, 2, 4, 3, 9)
    assert found.shape[1:3] == (2, 2)
    inside = found[:, :, :1]  # the last columns are reflected
    np.testing.assert_allclose(np.sort(inside, axis=-1)[..., -1], 1, atol=1e-6)
    assert len(np.unique(inside.argmax(axis=-1))) == 1
    assert histograms(jnp.ones((1, 32, 32, 3))).max() == 0


def test_a_model_without_masks_is_named():
    with pytest.raises(ConfigError, match="needs a model with masked patches"):
        masked_prediction().value(Outputs(None, ()), {}, 0, {})
